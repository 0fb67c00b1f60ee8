package kernel

import (
	"fmt"
	"strings"
	"testing"
)

// A small tree with every construct that a reason can rest on.
var tree = map[string]string{
	"Kconfig": `
mainmenu "Test $(VERSION)"
cc-option = $(success,$(CC) $(1))
source "arch/$(SRCARCH)/Kconfig"

config MODULES
	bool "Modules"
	modules

menu "Devices"
	depends on HAS_DEV || \
		COMPILE_TEST

config BLOCK
	bool "Block layer" if EXPERT
	default y
	help
	  A help text, which says things like
	  depends on NOTHING

	  select NOTHING
if BLOCK
menuconfig BLK_DEV
	bool "Drivers"
config VIRTIO_BLK
	tristate "virtio disks"
	depends on BLK_DEV && VIRTIO
	select SG_POOL if BLK_DEV
endif # BLOCK
config SG_POOL
	bool
endmenu

config HAS_DEV
	def_bool y
config VIRTIO
	tristate
config SELECTOR
	bool "Selector"
	select VIRTIO
config EXPERT
	bool "Expert"
config RETPOLINE
	bool "Retpoline"
	depends on $(cc-option,-mretpoline)
config COUNT
	int "Count" if EXPERT
	range 2 LIMIT if MODULES
	range 2 8
	default 4
config NAME
	string 'Name'
choice
	prompt "Frequency"
	default HZ_250
config HZ_100
	bool "100"
config HZ_250
	bool "250"
endchoice
menu "Hidden"
	visible if EXPERT
config SECRET
	bool "Secret"
endmenu
config NEGATIVE
	bool "Negative"
	depends on !EXPERT && (COUNT > 3 || NAME = "x")
`,
	"arch/x86/Kconfig": "config X86\n\tdef_bool y\n\tselect VIRTIO if 64BIT\nconfig 64BIT\n\tbool \"64\" if \"$(SRCARCH)\" = \"x86\"\n",
}

func readTree(name string) ([]byte, error) {
	text, ok := tree[name]
	if !ok {
		return nil, fmt.Errorf("no file %s", name)
	}
	return []byte(text), nil
}

func testTree(t testing.TB) *KconfigTree {
	t.Helper()
	k, err := parseKconfig("Kconfig", readTree, map[string]string{"SRCARCH": "x86"})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func config(t *testing.T, text string) *Config {
	t.Helper()
	c, err := prefixed.parseConfig(".config", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestADroppedSymbolIsReportedWithItsCause(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, cfg, ask, want string }{
		{"dependency", "CONFIG_HAS_DEV=y\nCONFIG_BLOCK=y\n# CONFIG_BLK_DEV is not set\nCONFIG_VIRTIO=y",
			"CONFIG_VIRTIO_BLK=y",
			"f:1: CONFIG_VIRTIO_BLK=y came out as n: depends on BLK_DEV, which is n (Kconfig:23)"},
		{"chain of dependencies", "CONFIG_HAS_DEV=y\nCONFIG_VIRTIO=y",
			"CONFIG_VIRTIO_BLK=y",
			"depends on BLOCK, which is n (Kconfig:14) and on BLK_DEV, which is n (Kconfig:23) as it depends on BLOCK, which is n (Kconfig:14)"},
		{"dependency that a fragment turns off", "CONFIG_HAS_DEV=y\nCONFIG_BLOCK=y\nCONFIG_VIRTIO=y",
			"CONFIG_VIRTIO_BLK=y\n# CONFIG_BLK_DEV is not set",
			"depends on BLK_DEV, which f:2 turns off"},
		{"dependency of a menu, over two lines", "",
			"CONFIG_SG_POOL=y",
			"depends on HAS_DEV || COMPILE_TEST (HAS_DEV is n, COMPILE_TEST is n)"},
		{"module where yes is wanted", "CONFIG_HAS_DEV=y\nCONFIG_BLOCK=y\nCONFIG_BLK_DEV=y\nCONFIG_VIRTIO=m\nCONFIG_VIRTIO_BLK=m",
			"CONFIG_VIRTIO_BLK=y", "came out as m: depends on VIRTIO, which is m"},
		{"negation and comparison", "CONFIG_EXPERT=y\nCONFIG_COUNT=2\nCONFIG_NAME=\"y\"",
			"CONFIG_NEGATIVE=y",
			`depends on !EXPERT (EXPERT is y) and on COUNT > 3 || NAME = "x" (COUNT is 2, NAME is "y")`},
		{"unknown symbol", "", "CONFIG_VIRTO_BLK=y", "unknown symbol (nearest: CONFIG_VIRTIO_BLK)"},
		{"unknown symbol that is to be off", "", "# CONFIG_EXPRET is not set", "unknown symbol (nearest: CONFIG_EXPERT)"},
		{"symbol of an unread help text", "", "CONFIG_NOTHING=y", "unknown symbol"},
		{"selected", "CONFIG_VIRTIO=y\nCONFIG_SELECTOR=y",
			"CONFIG_SELECTOR=y\n# CONFIG_VIRTIO is not set",
			"came out as y: selected by SELECTOR (Kconfig:38), which f:1 asks for"},
		{"only selectable", "", "CONFIG_VIRTIO=y", "it cannot be set, only selected, by X86, SELECTOR"},
		{"computed", "", "CONFIG_X86=y", "it cannot be set: it follows from others (arch/x86/Kconfig:1)"},
		{"choice", "CONFIG_HZ_250=y", "CONFIG_HZ_100=y", `of the choice "Frequency" (Kconfig:53) HZ_250 is taken`},
		{"default of a choice", "CONFIG_HZ_250=y", "# CONFIG_HZ_250 is not set", "it is the default of the choice"},
		{"hidden prompt", "CONFIG_HAS_DEV=y\nCONFIG_BLOCK=y", "# CONFIG_BLOCK is not set", "it can be set only if EXPERT (EXPERT is n)"},
		{"hidden menu", "", "CONFIG_SECRET=y", "it can be set only if EXPERT (EXPERT is n)"},
		{"tool", "", "CONFIG_RETPOLINE=y", "depends on $(cc-option,-mretpoline), which this host's tools do not satisfy"},
		{"range", "CONFIG_EXPERT=y\nCONFIG_COUNT=4", "CONFIG_COUNT=9", "came out as 4: its range is 2 to 8"},
		{"type", "CONFIG_COUNT=4", "CONFIG_COUNT=y", "it is of type int"},
		{"no modules", "CONFIG_SELECTOR=y", "CONFIG_SELECTOR=m", "there are no modules"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dropped := Check(config(t, test.cfg), []*Fragment{parse(t, "f", test.ask)}, testTree(t))
			for _, d := range dropped {
				if strings.Contains(d.String(), test.want) {
					return
				}
			}
			t.Errorf("got %v\nwant %s", dropped, test.want)
		})
	}
}

func TestWhatSurvivedIsNotReported(t *testing.T) {
	t.Parallel()
	cfg := config(t, "CONFIG_EXPERT=y\nCONFIG_COUNT=8\nCONFIG_NAME=\"\"\n# CONFIG_MODULES is not set\nCONFIG_HZ_100=y")
	ask := parse(t, "f", "CONFIG_EXPERT=y\nCONFIG_COUNT=0x8\nCONFIG_NAME=\"\"\n# CONFIG_MODULES is not set\n# CONFIG_SECRET is not set\nCONFIG_HZ_100=y\n# CONFIG_HZ_250 is not set\n")
	if dropped := Check(cfg, []*Fragment{ask}, testTree(t)); len(dropped) > 0 {
		t.Error(dropped)
	}
}

func TestABrokenTreeIsReportedWithItsPlace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"if A\nconfig B\n", "Kconfig:1: this if does not end"},
		{"\nendmenu\n", "Kconfig:2: endmenu without menu"},
		{"menu \"x\"\nendif\n", "Kconfig:2: endif closes the menu of Kconfig:1"},
		{"config A\n\tdepends on (B\n", "Kconfig:2: missing )"},
		{"config A\n\tdepends on B C\n", `Kconfig:2: unexpected "C"`},
		{"config A\n\tbool \"x\n", "Kconfig:2: string does not end"},
		{"source \"Kconfig\"\n", "nested more than 50 deep"},
		{"source \"gone\"\n", "no file gone\n\tsourced from Kconfig:1"},
		{"config A\n\tdepends on " + strings.Repeat("!", 600) + "B\n", "nested more than 500 deep"},
	} {
		read := func(name string) ([]byte, error) {
			if name != "Kconfig" {
				return nil, fmt.Errorf("no file %s", name)
			}
			return []byte(test.text), nil
		}
		_, err := parseKconfig("Kconfig", read, nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %q", test.text, err, test.want)
		}
	}
}

// An option that neither base nor fragment mentions starts as off, so that its default does not count.
func TestThePresetTurnsOffWhatNobodyAsksFor(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	base := config(t, "CONFIG_HZ_250=y\nCONFIG_EXPERT=y\nCONFIG_COUNT=4")
	reqs := requests([]*Fragment{parse(t, "f", "CONFIG_HZ_100=y\nCONFIG_COUNT=8\n")})
	if err := preset(&b, base, testTree(t), reqs); err != nil {
		t.Fatal(err)
	}
	want := `CONFIG_HZ_250=y
CONFIG_EXPERT=y
# CONFIG_64BIT is not set
# CONFIG_BLK_DEV is not set
# CONFIG_BLOCK is not set
# CONFIG_MODULES is not set
# CONFIG_NEGATIVE is not set
# CONFIG_RETPOLINE is not set
# CONFIG_SECRET is not set
# CONFIG_SELECTOR is not set
# CONFIG_VIRTIO_BLK is not set
CONFIG_HZ_100=y
CONFIG_COUNT=8
`
	if b.String() != want {
		t.Errorf("got:\n%s", b.String())
	}
}

func FuzzParseKconfig(f *testing.F) {
	for _, text := range tree {
		f.Add(text)
	}
	f.Add("choice\nconfig A\n\tbool 'x' if !(A<=1&&B!=\"c\")\nendchoice\nif y\nendif")
	f.Add("config A\n\tdefault $(shell,echo (a) b)\\\n if A\n\thelp\n\t x\n")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := parseKconfig("Kconfig", func(name string) ([]byte, error) {
			if name != "Kconfig" {
				return nil, fmt.Errorf("no file %s", name)
			}
			return []byte(text), nil
		}, map[string]string{"X": "y"})
		if err != nil {
			return
		}
		// Every symbol gets a reason, in finite time and words, for any wish.
		for _, name := range k.options() {
			for _, value := range []string{"y", "m", "n"} {
				ask := &Fragment{Symbols: []Symbol{{Name: name, Value: value}}}
				for _, d := range Check(&Config{values: map[string]string{}}, []*Fragment{ask}, k) {
					if d.Reason == "" {
						t.Fatalf("no reason for %s", d.Symbol)
					}
				}
			}
		}
	})
}

// An expression that is printed and read again means the same.
func FuzzExpression(f *testing.F) {
	f.Add("!A && (B || C = \"x\") || $(m,(n)) && D >= 0x10")
	f.Add("!(A!=B)&&!!C")
	f.Fuzz(func(t *testing.T, text string) {
		toks, err := tokenize(text)
		if err != nil {
			return
		}
		e, rest, err := parseExpr(toks)
		if err != nil || len(rest) > 0 {
			return
		}
		toks, err = tokenize(e.String())
		if err != nil {
			t.Fatalf("%q: %v", e, err)
		}
		again, rest, err := parseExpr(toks)
		if err != nil || len(rest) > 0 {
			t.Fatalf("%q does not parse: %v", e, err)
		}
		value := func(name string) string { return [...]string{"n", "m", "y", "7"}[len(name)%4] }
		if e.eval(value) != again.eval(value) {
			t.Fatalf("%q became %q", text, again)
		}
	})
}
