package source

import (
	"strings"
	"testing"
)

func TestVersionsBelongToTheirSeries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version, series string
		want            bool
	}{
		{"27.3.4.1", "27", true},
		{"27.3.4.1", "27.3", true},
		{"27", "27", true},
		{"270.1", "27", false},
		{"6.120", "6.12", false},
		{"6.12.107", "6.12", true},
		{"6.12", "6.12.107", false},
		{"6.12", "", false},
	} {
		if got := InSeries(c.version, c.series); got != c.want {
			t.Errorf("InSeries(%q, %q) = %t", c.version, c.series, got)
		}
	}
}

func TestVersionsAreOrderedByNumber(t *testing.T) {
	t.Parallel()
	ordered := []string{"6.9", "6.12", "6.12.9", "6.12.107", "7.2"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := compareVersions(a, b); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("compareVersions(%q, %q) = %d", a, b, got)
			}
		}
	}
}

func TestKnownReleasesAreSoundAndUnique(t *testing.T) {
	t.Parallel()
	seen := map[Request]bool{}
	digests := map[string]string{}
	for _, r := range Known() {
		if err := r.check(); err != nil {
			t.Errorf("%s %s: %v", r.Name, r.Series, err)
		}
		if err := checkName(r.Name); err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(r.URL, "https://") || !strings.Contains(r.URL, r.Version) || !strings.Contains(r.File, r.Version) {
			t.Errorf("%s %s: URL %s and file %s do not name version %s", r.Name, r.Series, r.URL, r.File, r.Version)
		}
		if seen[r.request()] {
			t.Errorf("%s %s is listed twice", r.Name, r.Series)
		}
		seen[r.request()] = true
		if other, twice := digests[r.SHA256]; twice {
			t.Errorf("%s has the digest of %s", r.File, other)
		}
		digests[r.SHA256] = r.File
	}
	for _, want := range []Request{{Name: "linux", Series: "6.12"}, {Name: "erlang", Series: "27"}, {Name: "elixir", Series: "1.18"}, {Name: "busybox", Series: "1.37"}} {
		if !seen[want] {
			t.Errorf("no release of %s %s", want.Name, want.Series)
		}
	}
}

func TestSeriesAreListedOldestFirst(t *testing.T) {
	t.Parallel()
	if got := strings.Join(KnownSeries("linux"), " "); got != "6.12 6.18" {
		t.Errorf("KnownSeries(linux) = %s", got)
	}
	if got := KnownSeries("plan9"); got != nil {
		t.Errorf("KnownSeries(plan9) = %v", got)
	}
}

func TestRequestsThatMakeNoSenseAreRefusedBeforeAnyOriginIsAsked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		req  Request
		want string
	}{
		{Request{Name: "linus", Series: "6.12"}, `no source is named "linus"; known are buildroot, busybox, elixir, erlang, linux; did you mean "linux"?`},
		{Request{Name: "glibc", Series: "2.41"}, `no source is named "glibc"; known are buildroot, busybox, elixir, erlang, linux`},
		{Request{Name: "elixir", Series: "latest"}, `elixir "latest": not a version series, such as 1.18, 1.19, 1.20`},
		{Request{Name: "elixir", Series: "1.18."}, `elixir "1.18.": not a version series, such as 1.18, 1.19, 1.20`},
	} {
		s := New(Options{Dir: t.TempDir(), Logf: func(f string, a ...any) { t.Errorf(f, a...) }})
		_, _, err := s.Get(t.Context(), c.req)
		if err == nil || err.Error() != c.want {
			t.Errorf("%v: %v, want %s", c.req, err, c.want)
		}
	}
}
