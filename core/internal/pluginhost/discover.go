package pluginhost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// prefix is how the name of a plugin's file begins; the strategy's follows.
const prefix = "leanlab-builder-"

var strategyName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// DefaultDirs returns where plugins are looked for, first match first:
//
//  1. the directories of LEANLAB_PLUGIN_PATH, separated by colons
//  2. beside the host binary exe, links resolved, and in plugins/ there
//  3. $XDG_DATA_HOME/leanlab/plugins (~/.local/share/leanlab/plugins)
//
// Never the working directory or PATH: a plugin runs as the user, and neither
// a checkout nor a package of something else should bring one unasked.
func DefaultDirs(exe string) []string {
	var dirs []string
	for _, dir := range filepath.SplitList(os.Getenv("LEANLAB_PLUGIN_PATH")) {
		if dir != "" {
			dirs = append(dirs, dir)
		}
	}
	if exe != "" {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dirs = append(dirs, filepath.Dir(exe), filepath.Join(filepath.Dir(exe), "plugins"))
	}
	data := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(data) { // the XDG base directory specification: ignore a relative path
		home, err := os.UserHomeDir()
		if err != nil {
			return dirs
		}
		data = filepath.Join(home, ".local", "share")
	}
	return append(dirs, filepath.Join(data, "leanlab", "plugins"))
}

// Discover returns the plugins in dirs, strategy to path; of two with one name,
// the first. A directory that does not exist is passed over. A plugin that
// cannot be run is left out and has an error of its own, as has a directory
// that cannot be read or is given by a relative path. Other files, such as
// checksums (leanlab-builder-custom.sha256), are ignored.
func Discover(dirs []string) (map[string]string, []error) {
	found := make(map[string]string)
	var errs []error
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) {
			errs = append(errs, fmt.Errorf("plugin directory %q is a relative path: give an absolute one, so that it does not depend on where leanlab is run", dir))
			continue
		}
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("plugin directory: %w", err))
			continue
		}
		for _, e := range entries {
			strategy, ok := strings.CutPrefix(e.Name(), prefix)
			if !ok || strings.Contains(strategy, ".") || found[strategy] != "" {
				continue
			}
			path := filepath.Join(dir, e.Name())
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				continue
			}
			if err := check(path); err != nil {
				errs = append(errs, err)
				continue
			}
			found[strategy] = path
		}
	}
	return found, errs
}

// strategyOf returns the strategy that a plugin's file name stands for.
func strategyOf(path string) (string, error) {
	name, ok := strings.CutPrefix(filepath.Base(path), prefix)
	if !ok || !strategyName.MatchString(name) {
		return "", &Fault{
			Path: path, Problem: "has no plugin's name",
			Remedy: "name it " + prefix + "STRATEGY, the strategy in lower case: a letter, then letters, digits, - and _",
		}
	}
	return name, nil
}
