package report

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/somebloke1/elixir-lean-lab/core/analyze"
)

// page is an analysis' page, open in a real browser.
type page struct {
	*testing.T
	ctx context.Context

	mu       sync.Mutex
	complain []string // what the console says is wrong
}

// openPage opens the page of a in headless Chromium, in a window of that size.
func openPage(t *testing.T, a *analyze.Analysis, width, height int) *page {
	t.Helper()
	var html bytes.Buffer
	if err := HTML(&html, a); err != nil {
		t.Fatal(err)
	}
	return openHTML(t, html.Bytes(), ".tile, .empty", width, height)
}

// openHTML opens a page, and waits until it has what the selector selects.
func openHTML(t *testing.T, html []byte, ready string, width, height int) *page {
	t.Helper()
	var browser string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			browser = found
			break
		}
	}
	if browser == "" {
		t.Skip("neither chromium nor google-chrome is installed (Debian: chromium)")
	}
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, html, 0o644); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.WindowSize(width, height))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to run as root with it
	}
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	p := &page{T: t, ctx: ctx}
	chromedp.ListenTarget(ctx, func(event any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch event := event.(type) {
		case *runtime.EventExceptionThrown:
			p.complain = append(p.complain, event.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			p.complain = append(p.complain, fmt.Sprintf("console.%s", event.Type))
		case *log.EventEntryAdded:
			p.complain = append(p.complain, event.Entry.Text)
		}
	})
	p.do(log.Enable(), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}),
		chromedp.Navigate("file://"+file), chromedp.WaitReady(ready, chromedp.ByQuery))
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.complain) > 0 {
			t.Errorf("the console says: %q", p.complain)
		}
	})
	return p
}

func (p *page) do(actions ...chromedp.Action) {
	p.Helper()
	if err := chromedp.Run(p.ctx, actions...); err != nil {
		p.Fatal(err)
	}
}

// js evaluates an expression in the page.
func js[T any](p *page, expression string) (value T) {
	p.Helper()
	p.do(chromedp.Evaluate(expression, &value))
	return value
}

// crumbs are the names on the way to where the page is.
func (p *page) crumbs() string {
	p.Helper()
	return js[string](p, `[...document.querySelectorAll("#crumbs button")].map(b => b.textContent).join(" > ")`)
}

func (p *page) wantCrumbs(want string) {
	p.Helper()
	if got := p.crumbs(); got != want {
		p.Errorf("the page is at %q, want %q", got, want)
	}
}

// top selects the tile of a child of where the page is, by its label's
// beginning.
func top(label string) string { return fmt.Sprintf(`#map .tile.top[aria-label^="%s"]`, label) }

func (p *page) screenshot(name string) {
	p.Helper()
	var png []byte
	p.do(chromedp.CaptureScreenshot(&png))
	if err := os.WriteFile(filepath.Join(p.ArtifactDir(), name), png, 0o644); err != nil {
		p.Fatal(err)
	}
}

func TestThePageZooms(t *testing.T) {
	t.Parallel()
	p := openPage(t, shop(t), 1280, 800)
	p.wantCrumbs("shop")

	p.do(chromedp.Click(`#map .tile[aria-label^="shop 0.1.0"]`, chromedp.ByQuery))
	p.wantCrumbs("shop > app > shop 0.1.0")
	if got := js[string](p, `document.querySelector("tbody").textContent`); !strings.Contains(got, "Elixir.Shop") {
		t.Errorf("the table shows %q", got)
	}
	p.do(chromedp.Click(`#crumbs li:nth-child(2) button`, chromedp.ByQuery))
	p.wantCrumbs("shop > app")
	p.do(chromedp.KeyEvent(kb.Escape))
	p.wantCrumbs("shop")
	p.do(chromedp.NavigateBack())
	p.wantCrumbs("shop > app")
	p.do(chromedp.NavigateForward())
	p.wantCrumbs("shop")
	p.do(chromedp.Reload(), chromedp.WaitReady(".tile", chromedp.ByQuery))
	p.wantCrumbs("shop")
}

func TestThePageIsUsedByKeyboard(t *testing.T) {
	t.Parallel()
	p := openPage(t, shop(t), 1280, 800)
	focused := func() string { return js[string](p, `document.activeElement.getAttribute("aria-label") || ""`) }
	p.do(chromedp.Focus(`#map [tabindex="0"]`, chromedp.ByQuery))
	first := focused()
	if !strings.HasPrefix(first, "BEAM › erts 15.2.7 › /usr/lib/erlang/bin/beam.smp, 100.0 kB, 50.0 %") {
		t.Errorf("Tab leads to %q", first)
	}
	p.do(chromedp.KeyEvent(kb.ArrowRight))
	if second := focused(); second == first || second == "" {
		t.Errorf("the right arrow led from %q to %q", first, second)
	}
	p.do(chromedp.KeyEvent(kb.ArrowLeft), chromedp.KeyEvent(kb.Enter))
	if got := p.crumbs(); got == "shop" {
		t.Error("Enter did not zoom in")
	}
	p.do(chromedp.KeyEvent("/"), chromedp.KeyEvent("plug"), chromedp.KeyEvent(kb.Enter))
	p.wantCrumbs("shop > dependencies > plug 1.16.1")
	if got := focused(); !strings.HasPrefix(got, "Elixir.Plug,") {
		t.Errorf("search led to %q", got)
	}
	p.do(chromedp.KeyEvent("u"))
	if got := focused(); strings.HasPrefix(got, "Elixir.Plug, 4.0 kB") {
		t.Errorf("u did not switch sizes: %q", got)
	}
	if got := js[string](p, `document.querySelector("#map .tile").getAttribute("aria-label")`); !strings.HasPrefix(got, "Elixir.Plug, 8.0 kB") {
		t.Errorf("unpacked, the first is %q", got)
	}
}

func TestTilesAreAsLargeAsTheirShare(t *testing.T) {
	t.Parallel()
	a := shop(t)
	p := openPage(t, a, 1280, 800)
	for measure, want := range map[string]func(*analyze.Component) int64{
		"packed_bytes": func(c *analyze.Component) int64 { return c.PackedBytes },
		"bytes":        func(c *analyze.Component) int64 { return c.Bytes },
	} {
		p.do(chromedp.Click(`.switch label:has([value=`+measure+`])`, chromedp.ByQuery))
		areas := js[[]float64](p, `(() => { const map = document.getElementById("map").getBoundingClientRect();
			return [...document.querySelectorAll("#map .tile.top")].map(t => { const r = t.getBoundingClientRect(); return (r.width + 2) * (r.height + 2) / map.width / map.height }) })()`)
		total := 0.0
		for i, got := range areas {
			total += got
			if i >= 4 { // these have the same order in both measures, as far as the test goes
				continue
			}
			component := largest(a.Root.Children, i, want)
			if share := float64(want(component)) / float64(want(a.Root)); math.Abs(got-share) > .002 {
				t.Errorf("%s: %s has %.4f of the area, and %.4f of the bytes", measure, component.Name, got, share)
			}
		}
		if math.Abs(total-1) > .01 {
			t.Errorf("%s: the tiles fill %.3f of the map", measure, total)
		}
	}
}

// largest is the component with i larger ones.
func largest(components []*analyze.Component, i int, of func(*analyze.Component) int64) *analyze.Component {
	for _, c := range components {
		larger := 0
		for _, other := range components {
			if of(other) > of(c) {
				larger++
			}
		}
		if larger == i {
			return c
		}
	}
	return nil
}

func TestHostileNamesAreText(t *testing.T) {
	t.Parallel()
	p := openPage(t, hostile(t), 1280, 800)
	if title := js[string](p, `document.title`); !strings.HasPrefix(title, "</title><script>") {
		t.Errorf("the title is %q", title)
	}
	p.do(chromedp.Click(top("unowned"), chromedp.ByQuery), chromedp.KeyEvent("/"), chromedp.KeyEvent("<"))
	for _, name := range []string{`/opt/</script><script>document.title='owned'</script>`, `/opt/<img src=x onerror="document.title='owned'">`} {
		if !strings.Contains(js[string](p, `document.querySelector("tbody").textContent`), name) {
			t.Errorf("the table does not show %s", name)
		}
		if !strings.Contains(js[string](p, `document.getElementById("hits").textContent`), name) {
			t.Errorf("search does not find %s", name)
		}
	}
	if n := js[int](p, `document.querySelectorAll("img, script").length`); n != 2 {
		t.Errorf("%d scripts and images, want the page's two scripts", n)
	}
}

func TestThePageInLightAndDarkAndOnAPhone(t *testing.T) {
	t.Parallel()
	var backgrounds []string
	p := openPage(t, shop(t), 1280, 800)
	for _, scheme := range []string{"light", "dark"} {
		p.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
		backgrounds = append(backgrounds, js[string](p, `getComputedStyle(document.body).backgroundColor`))
		p.screenshot(scheme + ".png")
	}
	if backgrounds[0] == backgrounds[1] {
		t.Errorf("light and dark are both %s", backgrounds[0])
	}
	p.do(emulation.SetDeviceMetricsOverride(390, 844, 3, true))
	p.screenshot("phone.png")
	if wide := js[int](p, `document.documentElement.scrollWidth`); wide > 390 {
		t.Errorf("on a phone of 390 pixels the page is %d wide", wide)
	}
}

func TestThePageHasMarginalCostsWhereTheyWereMeasured(t *testing.T) {
	t.Parallel()
	heads := `[...document.querySelectorAll("thead th")].map(th => th.textContent).join(" ")`
	if got := js[string](openPage(t, shop(t), 1280, 800), heads); got != "part packed unpacked share" {
		t.Errorf("without, the table has %s", got)
	}
	a := costs(t, true)
	p := openPage(t, a, 1280, 800)
	if got := js[string](p, heads); got != "part packed marginal unpacked share" {
		t.Errorf("the table has %s", got)
	}
	first := a.Root.Children[0]
	if got, want := js[string](p, `[...document.querySelectorAll("tbody tr:first-child td")].slice(1, 3).map(td => td.textContent).join(" ")`), size(first.PackedBytes)+" "+size(*first.MarginalBytes); got != want {
		t.Errorf("the first part has %s, want %s", got, want)
	}
	if got := js[string](p, `document.querySelector("tbody").textContent`); !strings.Contains(got, "–") {
		t.Errorf("structures cost something: %s", got)
	}
	// The tile is of the one file that all of BusyBox is.
	p.do(chromedp.Focus(`#map [tabindex="0"]`, chromedp.ByQuery), chromedp.KeyEvent(kb.ArrowRight))
	if got := js[string](p, `document.getElementById("tip").textContent`); !strings.Contains(got, "/bin/busybox") || !strings.Contains(got, "marginal19.") {
		t.Errorf("the tip says %q", got)
	}
	if got := js[string](p, `document.querySelector("footer").textContent`); !strings.Contains(got, "measured with zstd -19 (zstd v1.5.4), which makes its initrd byte for byte") {
		t.Errorf("the footer says %q", got)
	}
	p.screenshot("marginal.png")
}

func TestAnEmptyImageHasAPage(t *testing.T) {
	t.Parallel()
	p := openPage(t, analysisOf(t, "empty", nil), 800, 600)
	if got := js[string](p, `document.getElementById("map").textContent`); !strings.Contains(got, "Nothing here takes space") {
		t.Errorf("the map says %q", got)
	}
}
