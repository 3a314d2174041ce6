package exchange

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"lamplighter/internal/settings"
)

// Versions of SenML that are read: 10, and 10 with secondary units. RFC 9100,
// Section 3.
var versions = []string{"10", "26"}

// ParseSenML reads a SenML pack in JSON. Times are passed over; sums and fields that
// must be understood and are not are refused. What is wrong it says as
// [settings.Problems].
func ParseSenML(text []byte, schemas Schemas) ([]Device, error) {
	c := newCollector(schemas)
	p := &pack{collector: c, text: text}
	switch {
	case len(text) > maxText:
		c.wrong(0, "The file is larger than %d MiB.", maxText>>20)
	case !utf8.Valid(text):
		c.wrong(0, "The file is not in UTF-8.")
	default:
		p.text = bytes.TrimPrefix(text, []byte("\ufeff"))
		if err := p.read(); err != nil {
			c.wrong(p.line(err), "This is no SenML: %s.", inWords(err))
		}
	}
	return c.result()
}

// pack is a SenML pack that is being read.
type pack struct {
	*collector
	text []byte
	dec  *json.Decoder

	baseName, baseUnit string
	baseValue          json.Number
}

var errNoPack = errors.New("it must be one list of records, [{...}, ...]")

// line is where the decoder is, or where the error is.
func (p *pack) line(err error) int {
	at := p.dec.InputOffset()
	if syntax := new(json.SyntaxError); errors.As(err, &syntax) {
		at = max(at, syntax.Offset)
	}
	return 1 + bytes.Count(p.text[:min(int(at), len(p.text))], []byte("\n"))
}

func inWords(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ends too early"
	}
	return err.Error()
}

func (p *pack) read() error {
	p.dec = json.NewDecoder(bytes.NewReader(p.text))
	p.dec.UseNumber()
	if err := p.delim('['); err != nil {
		return err
	}
	for p.dec.More() {
		if err := p.delim('{'); err != nil {
			return err
		}
		line := p.line(nil)
		fields, err := p.fields()
		if err != nil {
			return err
		}
		p.record(line, fields)
	}
	if err := p.delim(']'); err != nil {
		return err
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return errNoPack
	}
	return nil
}

func (p *pack) delim(want json.Delim) error {
	token, err := p.dec.Token()
	if err != nil {
		return err
	}
	if token != want {
		return errNoPack
	}
	return nil
}

// fields reads the rest of a record.
func (p *pack) fields() (map[string]any, error) {
	fields := map[string]any{}
	for p.dec.More() {
		token, err := p.dec.Token()
		if err != nil {
			return nil, err
		}
		label, _ := token.(string)
		if _, twice := fields[label]; twice {
			return nil, fmt.Errorf("a record has %q twice", label)
		}
		var raw json.RawMessage
		if err := p.dec.Decode(&raw); err != nil {
			return nil, err
		}
		if fields[label], err = decode(raw); err != nil {
			return nil, err
		}
	}
	return fields, p.delim('}')
}

// decode reads the value of a field. Half a surrogate pair, which would silently
// become another character, is refused.
func decode(raw []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	s, _ := v.(string)
	const replacement = "\ufffd"
	if strings.Count(s, replacement) > bytes.Count(raw, []byte(replacement))+bytes.Count(bytes.ToLower(raw), []byte(`\ufffd`)) {
		return nil, fmt.Errorf("the text %q has half a character", s)
	}
	return v, nil
}

// record takes a record into the devices. RFC 8428, Section 4.6.
func (p *pack) record(line int, fields map[string]any) {
	if !p.base(line, fields) {
		return
	}
	name, _ := fields["n"].(string)
	_, v := fields["v"]
	_, vs := fields["vs"]
	_, vb := fields["vb"]
	_, vd := fields["vd"]
	switch count(v, vs, vb, vd) {
	case 1:
	case 0:
		if len(fields) > 0 && name == "" {
			return // base fields only
		}
		p.wrong(line, "A record needs a value: v, vs, vb or vd.")
		return
	default:
		p.wrong(line, "A record has more than one value.")
		return
	}
	full := p.baseName + name
	id, path, ok := split(full)
	if !ok {
		p.wrong(line, "%q names no setting: it must be %s, an EUI-64, a colon and a path, such as %s0024befffe804ff1:min-level.", full, urn, urn)
		return
	}
	at, s, ok := p.find(line, id, path)
	if !ok {
		return
	}
	value, ok := p.value(line, at, fields)
	if !ok || !p.unit(line, at, s, fields) {
		return
	}
	p.add(line, id, path, at, value)
}

func count(list ...bool) (n int) {
	for _, b := range list {
		if b {
			n++
		}
	}
	return n
}

// split takes a full name apart.
func split(full string) (id, path string, ok bool) {
	if len(full) < len(urn)+18 || !strings.EqualFold(full[:len(urn)], urn) || full[len(urn)+16] != ':' {
		return "", "", false
	}
	id, ok = deviceID(full[:len(urn)+16])
	return id, full[len(urn)+17:], ok
}

// base takes the fields that hold for what follows, and looks at all labels.
func (p *pack) base(line int, fields map[string]any) bool {
	for label, v := range fields {
		_, isText := v.(string)
		number, isNumber := v.(json.Number)
		ok := true
		switch label {
		case "bn", "bu", "n", "u", "vs", "vd":
			ok = isText
		case "bt", "t", "ut", "bv":
			ok = isNumber
		case "v":
			ok = isNumber || v == nil
		case "vb":
			_, ok = v.(bool)
		case "bver":
			if ok = isNumber && (slices.Contains(versions, number.String())); isNumber && !ok {
				p.wrong(line, "This is version %s of SenML; only %s are read here.", number, strings.Join(versions, " and "))
				return false
			}
		case "s", "bs":
			p.wrong(line, "A sum (%q) is no setting.", label)
			return false
		default:
			if strings.HasSuffix(label, "_") {
				p.wrong(line, "%q has to be understood, and is not.", label)
				return false
			}
		}
		if !ok {
			p.wrong(line, "The value of %q is of the wrong type.", label)
			return false
		}
	}
	if v, ok := fields["bn"].(string); ok {
		p.baseName = v
	}
	if v, ok := fields["bu"].(string); ok {
		p.baseUnit = v
	}
	if v, ok := fields["bv"].(json.Number); ok {
		p.baseValue = v
	}
	return true
}

// value reads the value of a record as the setting has it.
func (p *pack) value(line int, at place, fields map[string]any) (any, bool) {
	if v, has := fields["v"]; has && v == nil {
		return nil, true
	}
	switch v := fields["v"].(type) {
	case json.Number:
		n, ok := whole(v)
		base, baseOK := int64(0), true
		if p.baseValue != "" {
			base, baseOK = whole(p.baseValue)
		}
		sum := n + base
		if !ok || !baseOK || (sum > n) != (base > 0) && base != 0 {
			p.wrong(line, "%s is no whole number that a setting can have.", v)
			return nil, false
		}
		return sum, true
	}
	if v, has := fields["vb"]; has {
		return v, true
	}
	if data, has := fields["vd"].(string); has {
		v, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimRight(data, "="))
		if err != nil || strings.ContainsAny(data, "\r\n") {
			p.wrong(line, "The value of \"vd\" is no base64url.")
			return nil, false
		}
		return v, true
	}
	text := fields["vs"].(string)
	if text == emptyMap && at.member == nil && at.top.Type == settings.Table {
		return settings.Map{}, true
	}
	return text, true
}

// unit wants the unit of the setting, where one is given.
func (p *pack) unit(line int, at place, s *settings.Schema, fields map[string]any) bool {
	unit, has := fields["u"].(string)
	if !has {
		unit = p.baseUnit
	}
	if want := at.def().Unit; unit != "" && unit != want && at.def().Type == settings.Int {
		p.wrong(line, "%s of %s is not in %q but in %q.", at.def().Name, s.Model, unit, want)
		return false
	}
	return true
}
