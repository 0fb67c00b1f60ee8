package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Verification is what was checked of a running image.
type Verification struct {
	Image   string   `json:"image"`
	Checks  []Check  `json:"checks"`            // in the order in which they were made
	Console []string `json:"console,omitempty"` // its last lines, where a check failed
}

// Check is one of them. It passed when it neither failed nor was skipped.
type Check struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`           // on the host's clock
	Failure string  `json:"failure,omitempty"` // why it failed
	Skipped string  `json:"skipped,omitempty"` // why it was not made
}

// Failed is how many did.
func (v *Verification) Failed() (n int) {
	for _, c := range v.Checks {
		if c.Failure != "" {
			n++
		}
	}
	return n
}

// VerificationText prints a line for each check, and why it failed.
func VerificationText(w io.Writer, v *Verification) error {
	var text strings.Builder
	for _, c := range v.Checks {
		switch {
		case c.Failure != "":
			fmt.Fprintf(&text, "FAIL  %s\n", printable(c.Name))
			for _, line := range strings.Split(c.Failure, "\n") {
				fmt.Fprintf(&text, "      %s\n", printable(line))
			}
		case c.Skipped != "":
			fmt.Fprintf(&text, "skip  %s: %s\n", printable(c.Name), printable(c.Skipped))
		default:
			fmt.Fprintf(&text, "ok    %s (%v)\n", printable(c.Name), (time.Duration(c.Seconds*1000) * time.Millisecond))
		}
	}
	text.WriteString(v.consoleText())
	_, err := io.WriteString(w, text.String())
	return err
}

func (v *Verification) consoleText() string {
	if len(v.Console) == 0 {
		return ""
	}
	var text strings.Builder
	fmt.Fprintf(&text, "the last %d lines of the VM's console:\n", len(v.Console))
	for _, line := range v.Console {
		fmt.Fprintf(&text, "  | %s\n", printable(line))
	}
	return text.String()
}

// Err is what failed and what the console showed, or nil.
func (v *Verification) Err() error {
	n := v.Failed()
	if n == 0 {
		return nil
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%d of %d checks failed", n, len(v.Checks))
	for _, c := range v.Checks {
		if c.Failure != "" {
			fmt.Fprintf(&text, "\n%s: %s", c.Name, c.Failure)
		}
	}
	if console := strings.TrimSuffix(v.consoleText(), "\n"); console != "" {
		text.WriteString("\n" + console)
	}
	return errors.New(text.String())
}

// VerificationJSON writes v as JSON.
func VerificationJSON(w io.Writer, v *Verification) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// The elements of a JUnit report that CI servers read: testsuites/testsuite/
// testcase with failure or skipped (the schema of Apache Ant's junitreport, which
// has no standard beside it).
type junitSuites struct {
	XMLName xml.Name   `xml:"testsuites"`
	Suite   junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
	Out      string      `xml:"system-out,omitempty"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitMessage `xml:"failure"`
	Skipped *junitMessage `xml:"skipped"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// VerificationJUnit writes v as a JUnit report.
func VerificationJUnit(w io.Writer, v *Verification) error {
	suite := junitSuite{Name: v.Image, Tests: len(v.Checks), Failures: v.Failed(), Out: strings.Join(v.Console, "\n")}
	var seconds float64
	for _, c := range v.Checks {
		seconds += c.Seconds
		one := junitCase{Class: v.Image, Name: c.Name, Time: fmt.Sprintf("%.3f", c.Seconds)}
		if c.Failure != "" {
			first, _, _ := strings.Cut(c.Failure, "\n")
			one.Failure = &junitMessage{first, c.Failure}
		} else if c.Skipped != "" {
			suite.Skipped++
			one.Skipped = &junitMessage{Message: c.Skipped}
		}
		suite.Cases = append(suite.Cases, one)
	}
	suite.Time = fmt.Sprintf("%.3f", seconds)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(junitSuites{Suite: suite}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
