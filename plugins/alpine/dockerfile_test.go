package main

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// hostArch is this machine's architecture, and otherArch another one.
func hostArch() string {
	return map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
}

func otherArch() string {
	return map[string]string{"amd64": "aarch64", "arm64": "x86_64"}[runtime.GOARCH]
}

func parse(text, target string, args map[string]string) (*dockerfile, error) {
	return parseDockerfile([]byte(text), "Dockerfile", target, hostArch(), args)
}

func TestImagesOfADockerfile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text, target string
		args               map[string]string
		want               []string
	}{
		{"stages and scratch are none", `
FROM docker.io/library/alpine:3.22 AS builder
FROM builder AS more
FROM scratch
COPY --from=Builder / /
COPY --from=1 / /
`, "", nil, []string{"docker.io/library/alpine:3.22"}},
		{"arguments, their defaults and what is given", `
ARG ALPINE_VERSION=3.20
ARG BASE=docker.io/library/alpine:${ALPINE_VERSION}
FROM ${BASE} AS a
FROM docker.io/team/base:${TAG:-1} AS b
`, "", map[string]string{"ALPINE_VERSION": "3.22"}, []string{"docker.io/library/alpine:3.22", "docker.io/team/base:1"}},
		{"given, and not declared", "FROM docker.io/team/base:${TAG:-1}\n", "", map[string]string{"TAG": "2"}, []string{"docker.io/team/base:1"}},
		{"COPY and RUN", `
FROM docker.io/library/alpine:3.22
COPY --from=docker.io/team/tools:1 /tool /
RUN --mount=type=bind,from=docker.io/team/tools:2,target=/t --mount=type=cache,target=/c true
COPY --from=docker.io/team/tools:1 /other /
`, "", nil, []string{"docker.io/library/alpine:3.22", "docker.io/team/tools:1", "docker.io/team/tools:2"}},
		{"only up to the target", "FROM docker.io/a/a:1 AS one\nFROM docker.io/b/b:1 AS two\n", "one", nil, []string{"docker.io/a/a:1"}},
		{"a continued line, a comment in it, a here-document", `
# escape=` + "`" + `
FROM docker.io/library/alpine:3.22
RUN <<EOF
FROM docker.io/not/one:1
EOF
RUN true && \
  # FROM docker.io/not/two:1
  true
`, "", nil, []string{"docker.io/library/alpine:3.22"}},
		{"the VM's platform", "FROM --platform=$TARGETPLATFORM docker.io/a/a:1\n", "", nil, []string{"docker.io/a/a:1"}},
	} {
		d, err := parse(tt.text, tt.target, tt.args)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got []string
		for _, image := range d.images {
			got = append(got, image.ref)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestMistakesInADockerfileHaveALine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, target, want string }{
		{"FROM docker.io/a/a:1\n\nRNU true\n", "", "Dockerfile:3: unknown instruction: RNU"},
		{"FROM docker.io/a/a:1\nCOPY --form=x / /\n", "", "Dockerfile:2: unknown flag: --form (did you mean from?)"},
		{"FROM\n", "", "Dockerfile:1: FROM requires either one or three arguments"},
		{"RUN true\n", "", "Dockerfile:1: no build stage in current context"},
		{"# nothing\n", "", "Dockerfile:1: file with no instructions"},
		{"", "", "Dockerfile: file with no instructions"},
		{"FROM docker.io/a/a:1\nRUN <<EOF\ntrue\n", "", "Dockerfile:2: unterminated heredoc"},
		{"ARG X\nFROM ${X}\n", "", "Dockerfile:2: FROM ${X} is empty: no ARG before the first FROM gives it a value"},
		{"FROM alpine:3.22\n", "", `Dockerfile:1: "alpine:3.22" does not say which registry: write docker.io/library/alpine:3.22`},
		{"FROM docker.io/library/alpine\n", "", "Dockerfile:1: \"docker.io/library/alpine\" has no tag"},
		{"FROM docker.io/a/a:1\nCOPY --from=$X / /\n", "", "Dockerfile:2: --from=$X is not substituted everywhere"},
		{"FROM docker.io/a/a:1\nCOPY --from=0 / /\n", "", "Dockerfile:2: --from=0 is no stage before this one"},
		{"FROM docker.io/a/a:1 AS a\n", "b", `Dockerfile: it has no stage "b"; it has a`},
		{"FROM docker.io/a/a:1 AS a\nFROM --platform=linux/" + goarch(otherArch()) + " docker.io/a/b:1\n", "",
			"Dockerfile:2: --platform=linux/" + goarch(otherArch()) + " is linux/" + goarch(otherArch()) + ", and the VM is linux/" + goarch(hostArch())},
	} {
		if _, err := parse(tt.text, tt.target, nil); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%q: got %v\nwant %s", tt.text, err, tt.want)
		}
	}
	_, err := parseDockerfile([]byte("FROM --platform=$BUILDPLATFORM docker.io/a/a:1\n"), "Dockerfile", "", otherArch(), nil)
	if want := "--platform=$BUILDPLATFORM is linux/" + runtime.GOARCH + ", and the VM is linux/" + goarch(otherArch()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestRewritingKeepsLines(t *testing.T) {
	t.Parallel()
	const text = `# syntax=docker/dockerfile:1
# escape=\
ARG V=3.22
FROM --platform=$TARGETPLATFORM docker.io/library/alpine:${V} AS Builder
RUN echo FROM docker.io/library/alpine:3.22 --from=docker.io/team/tools:1
RUN --mount=type=bind,from=docker.io/team/tools:1,target=/t \
    --mount=type=bind,from=builder2,target=/u \
    true
from docker.io/library/alpine:3.22
COPY --from=docker.io/team/tools:1 --chown=1:1 /a /b
COPY --from=Builder / /
`
	const want = `# escape=\
#
ARG V=3.22
FROM leanlab.invalid/alpine:1 AS Builder
RUN echo FROM docker.io/library/alpine:3.22 --from=docker.io/team/tools:1
RUN --mount=type=bind,from=leanlab.invalid/tools:1,target=/t \
    --mount=type=bind,from=builder2,target=/u \
    true
from leanlab.invalid/alpine:1
COPY --from=leanlab.invalid/tools:1 --chown=1:1 /a /b
COPY --from=Builder / /
`
	d, err := parse(strings.Replace(text, "from=builder2", "from=docker.io/team/kept:1", 1), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.rewritten(map[string]string{"docker.io/library/alpine:3.22": "leanlab.invalid/alpine:1", "docker.io/team/tools:1": "leanlab.invalid/tools:1"})
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(want, "from=builder2", "from=docker.io/team/kept:1", 1); string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Whatever a file holds: there is an error of one line, or a plan of images of
// which each is rewritten, in a file with as many lines that can be read again.
func FuzzDockerfile(f *testing.F) {
	for _, text := range []string{
		"FROM docker.io/a/a:1\n", "ARG A=1\nFROM docker.io/a/a:$A AS b\nCOPY --from=b / /\n", "# escape=`\nFROM docker.io/a/a:1 `\n AS b\n",
		"FROM docker.io/a/a:1\nRUN --mount=type=bind,from=docker.io/b/b:2 <<EOF\nx\nEOF\n", "# syntax=x\nFROM scratch\n", "FROM \\\n docker.io/a/a:1\n", "from --platform=x a",
	} {
		f.Add([]byte(text))
	}
	if text, err := os.ReadFile(filepath.FromSlash("../../containers/alpine/Dockerfile")); err == nil {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := parseDockerfile(text, "Dockerfile", "", "x86_64", nil)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "Dockerfile") || strings.Contains(strings.TrimRight(err.Error(), "\n"), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		names := map[string]string{}
		for _, image := range d.images {
			names[image.ref] = "leanlab.invalid/ours:1"
		}
		out, err := d.rewritten(names)
		if err != nil {
			return
		}
		if got, want := strings.Count(string(out), "\n"), strings.Count(string(text), "\n"); got != want {
			t.Errorf("%d lines, want %d:\n%s", got, want, out)
		}
		again, err := parseDockerfile(out, "Dockerfile", "", "x86_64", nil)
		if err != nil {
			t.Fatalf("%v\n%s\nwas\n%s", err, out, text)
		}
		for _, image := range again.images {
			if image.ref != "leanlab.invalid/ours:1" {
				t.Errorf("line %d still names %s:\n%s\nwas\n%s", image.line, image.ref, out, text)
			}
		}
	})
}
