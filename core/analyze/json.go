package analyze

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxJSON bounds what Read takes: some 100 bytes for each file of the largest
// image that is analysed.
const maxJSON = 256 << 20

// Write writes an analysis as JSON. Equal analyses give equal bytes.
func (a *Analysis) Write(w io.Writer) error {
	data, err := json.MarshalIndent(a, "", " ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// Read reads what Write wrote, anybody's.
func Read(r io.Reader) (*Analysis, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxJSON+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxJSON {
		return nil, fmt.Errorf("is longer than the %d bytes that an analysis may have", maxJSON)
	}
	a := new(Analysis)
	if err := json.Unmarshal(data, a); err != nil {
		return nil, fmt.Errorf("is no analysis: %w", err)
	}
	if a.Schema != Schema {
		return nil, fmt.Errorf("its schema is version %d, and this leanlab reads %d: analyze the image again", a.Schema, Schema)
	}
	if a.Root == nil || a.Root.Kind != kindImage {
		return nil, errors.New("is no analysis: its root is not an image")
	}
	return a, a.Root.check("")
}

// check holds a component that somebody else wrote to what Component says.
func (c *Component) check(above string) error {
	at := above + "/" + c.Name
	if c.Bytes < 0 || c.PackedBytes < 0 || c.Files < 0 {
		return fmt.Errorf("%q has negative sizes", at)
	}
	if len(c.Children) == 0 {
		return nil
	}
	left := *c
	for _, child := range c.Children {
		if child == nil {
			return fmt.Errorf("%q has null among its children", at)
		}
		if err := child.check(at); err != nil {
			return err
		}
		left.Bytes -= child.Bytes
		left.PackedBytes -= child.PackedBytes
		left.Files -= child.Files
		if left.Bytes < 0 || left.PackedBytes < 0 || left.Files < 0 {
			break // before sums can overflow
		}
	}
	if left.Bytes != 0 || left.PackedBytes != 0 || left.Files != 0 {
		return fmt.Errorf("%q is not what its children add up to", at)
	}
	return nil
}
