package exchange

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"lamplighter/internal/settings"
)

// Columns of the CSV, a row a value. The type is of the value: bool, int, text,
// bytes (in hexadecimal), map (without anything in it, {}), base64 (a text that
// would not survive otherwise), or delete.
var columns = []string{"device", "name", "model", "setting", "type", "value", "unit"}

const (
	typeDelete = "delete"
	typeBase64 = "base64"
)

// odd are the first characters of what spreadsheets take for a formula, or for a
// number or a date, of which they keep another text: 007 becomes 7, 1-2 the second of
// January. An apostrophe is put in front of it.
const odd = "=+-@\t\r\n.0123456789"

// exactly is how many digits of a number spreadsheets keep.
const exactly = 15

// guard makes of a text what a spreadsheet takes for a text.
func guard(s string) string {
	switch {
	case s == "" || plainNumber(s):
		return s
	case strings.ContainsRune(odd, rune(s[0])), len(s) > 1 && s[0] == '\'' && strings.ContainsRune(odd+"'", rune(s[1])):
		return "'" + s
	}
	return s
}

// plainNumber says whether s is a number that stays what it is in a spreadsheet.
func plainNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 64)
	return err == nil && len(s) <= exactly && strconv.FormatUint(n, 10) == s
}

// unguard is the inverse of guard.
func unguard(s string) string {
	if len(s) > 1 && s[0] == '\'' && strings.ContainsRune(odd+"'", rune(s[1])) {
		return s[1:]
	}
	return s
}

// CSV writes settings as comma-separated values (RFC 4180, but for LF at the end of
// lines), a value a row.
func CSV(devices []Device, schemas Schemas) ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	if err := w.Write(columns); err != nil {
		return nil, err
	}
	for _, d := range devices {
		list, err := d.items(schemas)
		if err != nil {
			return nil, err
		}
		model := schemas(d.ID).Model
		for _, it := range list {
			kind, value := it.cell()
			if err := w.Write([]string{urn + d.ID, guard(d.Name), model, it.name, kind, value, guard(it.def.Unit)}); err != nil {
				return nil, err
			}
		}
	}
	w.Flush()
	return out.Bytes(), w.Error()
}

// cell is the type and the value of an item.
func (it item) cell() (kind, value string) {
	switch v := it.value.(type) {
	case bool:
		return "bool", strconv.FormatBool(v)
	case int64:
		text := strconv.FormatInt(v, 10)
		if len(text) > exactly {
			text = "'" + text
		}
		return "int", text
	case string:
		if strings.ContainsRune(v, '\r') { // readers of CSV change ends of lines
			return typeBase64, base64.StdEncoding.EncodeToString([]byte(v))
		}
		return "text", guard(v)
	case []byte:
		return "bytes", guard(hex.EncodeToString(v))
	case settings.Map:
		return "map", emptyMap
	}
	return typeDelete, ""
}

// ParseCSV reads what [CSV] writes, also with semicolons and after a spreadsheet had
// it. The columns may be in any order; needed are device, setting and value. Without
// a type a value has that of its setting. What is wrong it says as
// [settings.Problems].
func ParseCSV(text []byte, schemas Schemas) ([]Device, error) {
	c := newCollector(schemas)
	switch {
	case len(text) > maxText:
		c.wrong(0, "The file is larger than %d MiB.", maxText>>20)
	case !utf8.Valid(text):
		c.wrong(0, "The file is not in UTF-8; save it as \"CSV UTF-8\".")
	default:
		c.readCSV(bytes.TrimPrefix(text, []byte("\ufeff")))
	}
	return c.result()
}

func (c *collector) readCSV(text []byte) {
	r := csv.NewReader(bytes.NewReader(text))
	head, _, _ := bytes.Cut(text, []byte("\n"))
	if bytes.ContainsRune(head, ';') && !bytes.ContainsRune(head, ',') {
		r.Comma = ';'
	}
	header, err := r.Read()
	if err != nil {
		c.wrong(1, "The file needs a first line with the names of its columns: %s.", strings.Join(columns, ","))
		return
	}
	at := map[string]int{}
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := at[name]; twice && slices.Contains(columns, name) {
			c.wrong(1, "The column %q is there twice.", name)
		}
		at[name] = i
	}
	for _, name := range []string{"device", "setting", "value"} {
		if _, ok := at[name]; !ok {
			c.wrong(1, "There is no column %q.", name)
		}
	}
	if len(c.problems) > 0 {
		return
	}
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		if parse := new(csv.ParseError); errors.As(err, &parse) {
			c.wrong(parse.Line, "This is no CSV: %v.", parse.Err)
			return
		}
		line, _ := r.FieldPos(0)
		c.row(line, func(name string) string {
			if i, ok := at[name]; ok {
				return fields[i]
			}
			return ""
		})
	}
}

// row takes one row.
func (c *collector) row(line int, cell func(string) string) {
	if cell("device") == "" && cell("setting") == "" && cell("value") == "" {
		return
	}
	id, ok := deviceID(strings.TrimSpace(cell("device")))
	if !ok {
		c.wrong(line, "%q is no device: it must be %s and 16 hexadecimal digits.", cell("device"), urn)
		return
	}
	name := strings.TrimSpace(cell("setting"))
	p, s, ok := c.find(line, id, name)
	if !ok {
		return
	}
	if model := strings.TrimSpace(cell("model")); model != "" && model != s.Model {
		c.wrong(line, "The device %s is no %s but a %s.", id, model, s.Model)
		return
	}
	if unit := unguard(strings.TrimSpace(cell("unit"))); unit != "" && unit != p.def().Unit {
		c.wrong(line, "%s is not in %q but in %q.", name, unit, p.def().Unit)
		return
	}
	v, err := p.read(strings.ToLower(strings.TrimSpace(cell("type"))), cell("value"))
	if err != nil {
		c.wrong(line, "%s: %v.", name, err)
		return
	}
	c.add(line, id, name, p, v)
	if i, known := c.at[id]; known && cell("name") != "" {
		c.devices[i].Name = unguard(cell("name"))
	}
}

// read makes a value of a cell.
func (p place) read(kind, cell string) (any, error) {
	d, bare := p.def(), strings.TrimSpace(cell)
	if kind == typeDelete {
		if bare != "" {
			return nil, fmt.Errorf("a value that is deleted must be empty")
		}
		return nil, nil
	}
	if kind == "" {
		kind = d.Type.String()
	}
	if want := d.Type.String(); kind != want && !(kind == typeBase64 && d.Type == settings.Text) {
		return nil, fmt.Errorf("the type is not %s but %s", kind, want)
	}
	switch kind {
	case "bool":
		switch strings.ToLower(bare) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, fmt.Errorf("%q is neither true nor false", cell)
	case "int":
		v, err := strconv.ParseInt(unguard(bare), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no whole number", cell)
		}
		return v, nil
	case typeBase64:
		b, err := base64.StdEncoding.Strict().DecodeString(bare)
		if err != nil || !utf8.Valid(b) {
			return nil, fmt.Errorf("%q is no text in base64", cell)
		}
		return string(b), nil
	case "bytes":
		b, err := hex.DecodeString(unguard(bare))
		if err != nil {
			return nil, fmt.Errorf("%q is not in hexadecimal", cell)
		}
		return b, nil
	case "map":
		if bare != emptyMap {
			return nil, fmt.Errorf("a map has a row for each of its values, such as %s", p.example())
		}
		return settings.Map{}, nil
	}
	return unguard(cell), nil
}

func (p place) example() string {
	if p.top.IDs != nil {
		return fmt.Sprintf("%s/%d/%s", p.top.Name, p.top.IDs.Min, p.top.Members[0].Name)
	}
	return p.top.Name + "/" + p.top.Members[0].Name
}
