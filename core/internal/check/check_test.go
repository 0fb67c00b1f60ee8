package check

import (
	"reflect"
	"strings"
	"testing"
)

func TestWhatCannotBeAskedIsNamed(t *testing.T) {
	t.Parallel()
	good := HTTP{Port: 4000, Path: "/", Status: 200}
	for _, c := range []struct {
		name string
		set  Set
		want string // the paths of the faults
	}{
		{"nothing", Set{}, ""},
		{"everything", Set{Expect: []string{"ready"}, HTTP: []HTTP{{1, "/a/%20?b=c", 100, "x y"}, {65535, "/", 599, ""}}, Eval: []Eval{{"1", "1"}}}, ""},
		{"a task", Set{Expect: []string{"done"}, Exit: ExitClean}, ""},
		{"lines", Set{Expect: []string{" ", "a\nb", "a\r", "ok"}}, "expect.0 expect.1 expect.2"},
		{"ports", Set{HTTP: []HTTP{good, {0, "/", 200, ""}, {65536, "/", 200, ""}, {-1, "/", 200, ""}}}, "http.1.port http.2.port http.3.port"},
		{"paths", Set{HTTP: []HTTP{{1, "", 200, ""}, {1, "a", 200, ""}, {1, "/a b", 200, ""}, {1, "/a#b", 200, ""}, {1, "/ä", 200, ""}, {1, "/%zz", 200, ""}, {1, "/a\n", 200, ""}, {1, "http://a/", 200, ""}, {1, "*", 200, ""}}},
			"http.0.path http.1.path http.2.path http.3.path http.4.path http.5.path http.6.path http.7.path http.8.path"},
		{"statuses", Set{HTTP: []HTTP{{1, "/", 99, ""}, {1, "/", 600, ""}}}, "http.0.status http.1.status"},
		{"several of one", Set{HTTP: []HTTP{{}}}, "http.0.port http.0.path http.0.status"},
		{"code", Set{Eval: []Eval{{" \n", "1"}, {"1", ""}}}, "eval.0.code eval.1.result"},
		{"exit", Set{Exit: "dirty"}, "exit"},
		{"a task that serves", Set{HTTP: []HTTP{good}, Exit: ExitClean}, "exit"},
		{"a task that is asked", Set{Eval: []Eval{{"1", "1"}}, Exit: ExitClean}, "exit"},
	} {
		var got []string
		for _, f := range c.set.Faults() {
			got = append(got, strings.Join(f.Path, "."))
			if f.Summary == "" || !strings.HasSuffix(f.Detail, ".") {
				t.Errorf("%s: %q, %q", c.name, f.Summary, f.Detail)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: faults at %q, want %q", c.name, got, c.want)
		}
	}
}

func TestWhatIsAskedTwiceIsAskedOnce(t *testing.T) {
	t.Parallel()
	s := Set{Expect: []string{"a"}, HTTP: []HTTP{{1, "/", 200, ""}}, Eval: []Eval{{"1", "1"}}}
	got := s.With(Set{Expect: []string{"b", "a"}, HTTP: []HTTP{{1, "/", 200, ""}, {1, "/", 404, ""}}, Eval: []Eval{{"1", "1"}}})
	want := Set{Expect: []string{"a", "b"}, HTTP: []HTTP{{1, "/", 200, ""}, {1, "/", 404, ""}}, Eval: []Eval{{"1", "1"}}}
	if !reflect.DeepEqual(got, want) || len(s.Expect) != 1 {
		t.Errorf("%+v", got)
	}
	if got := (Set{}).With(Set{Exit: ExitClean}).With(Set{}); got.Exit != ExitClean || got.Empty() || !(Set{}).Empty() {
		t.Errorf("%+v", got)
	}
}
