package exchange

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"lamplighter/internal/settings"
)

// record is a SenML record, as it is written: RFC 8428, Section 4. A value is
// deleted by null, as RFC 8790, Section 3.2 has it. A map without anything in it is
// the text {}.
type record struct {
	BaseName string           `json:"bn,omitempty"`
	Name     string           `json:"n"`
	Unit     string           `json:"u,omitempty"` // only units of the registry's first part
	Value    *json.RawMessage `json:"v,omitempty"`
	Text     *string          `json:"vs,omitempty"`
	Bool     *bool            `json:"vb,omitempty"`
	Data     *string          `json:"vd,omitempty"` // base64url without padding
}

// emptyMap stands for a map without anything in it.
const emptyMap = "{}"

// SenML writes settings as a SenML pack in JSON, a record a line. Devices without
// settings are left out.
func SenML(devices []Device, schemas Schemas) ([]byte, error) {
	out := []byte("[")
	for _, d := range devices {
		list, err := d.items(schemas)
		if err != nil {
			return nil, err
		}
		for i, it := range list {
			r := it.record()
			if i == 0 {
				r.BaseName = urn + d.ID + ":"
			}
			line, err := encode(r)
			if err != nil {
				return nil, err
			}
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(append(out, '\n'), line...)
		}
	}
	return append(out, "\n]\n"...), nil
}

// items takes a device's settings apart.
func (d *Device) items(schemas Schemas) ([]item, error) {
	if id, ok := deviceID(d.ID); !ok || id != d.ID {
		return nil, fmt.Errorf("%q is no device id: it must be 16 lower-case hexadecimal digits", d.ID)
	}
	s := schemas(d.ID)
	if s == nil {
		return nil, fmt.Errorf("the schema of %s is not known here; read the device's schema", d.ID)
	}
	list, err := items(d.Values, s.Defs, "")
	if err != nil {
		return nil, fmt.Errorf("the device %s: %w", d.ID, err)
	}
	return list, nil
}

func encode(r record) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

func (it item) record() record {
	r := record{Name: it.name}
	raw := func(s string) *json.RawMessage { v := json.RawMessage(s); return &v }
	switch v := it.value.(type) {
	case nil:
		r.Value = raw("null")
	case bool:
		r.Bool = &v
	case int64:
		r.Value = raw(strconv.FormatInt(v, 10))
		if it.def.Unit == "s" {
			r.Unit = "s"
		}
	case string:
		r.Text = &v
	case []byte:
		data := base64.RawURLEncoding.EncodeToString(v)
		r.Data = &data
	case settings.Map:
		text := emptyMap
		r.Text = &text
	}
	return r
}

// whole reads a number that has no fraction: exactly when it is written as an
// integer, else below 2^53.
func whole(n json.Number) (int64, bool) {
	if v, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return v, true
	}
	if !strings.ContainsAny(string(n), ".eE") {
		return 0, false // too large
	}
	f, err := strconv.ParseFloat(string(n), 64)
	v, ok := settings.Whole(f)
	return v, ok && err == nil
}
