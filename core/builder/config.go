package builder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// DecodeConfig decodes Definition.Config, a JSON object, into the struct that v
// points to, by the rules of encoding/json. A name that the struct lacks is an
// error: schema and struct have grown apart. An empty config is an empty object.
func DecodeConfig(config []byte, v any) error {
	if len(bytes.TrimSpace(config)) == 0 {
		config = []byte("{}")
	}
	d := json.NewDecoder(bytes.NewReader(config))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("decoding the strategy's block: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("decoding the strategy's block: something follows the JSON object at byte %d", d.InputOffset())
	}
	return nil
}
