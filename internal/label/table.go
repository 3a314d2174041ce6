package label

import (
	"bufio"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"
)

// Columns of a table of labels, in the order in which they are written. A table
// may have them in any order when its first line names them, and further ones,
// which are ignored. A line may also be the text of a label alone, and a column
// named "label" may hold it.
var Columns = []string{"id", "name", "model", "thumbprint", "secret", "place", "address"}

const (
	labelColumn = "label"
	maxLine     = 8 << 10
	defaultPort = 5683
)

// LineError is a line that was not understood; the others are kept.
type LineError struct {
	Line   int // from 1
	Reason string
}

func (e LineError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// ParseCSV reads a table of labels, separated by comma, semicolon or tab. Each
// physical line stands alone, so that a lost quotation mark costs one line. err
// is only that of reading r.
func ParseCSV(r io.Reader) (labels []Label, bad []LineError, err error) {
	t := table{columns: Columns, seen: map[[8]byte]int{}}
	lines := bufio.NewReaderSize(r, maxLine)
	for n := 1; ; n++ {
		line, tooLong, err := readLine(lines)
		if err == io.EOF {
			return labels, bad, nil
		}
		if err != nil {
			return labels, bad, fmt.Errorf("reading the table: %w", err)
		}
		l, ok, reason := t.line(n, line, tooLong)
		switch {
		case reason != "":
			bad = append(bad, LineError{n, reason})
		case ok:
			labels = append(labels, l)
		}
	}
}

// readLine returns a line without its end. Of a line that is too long only that
// is told.
func readLine(r *bufio.Reader) (line string, tooLong bool, err error) {
	b, err := r.ReadSlice('\n')
	for errors.Is(err, bufio.ErrBufferFull) {
		tooLong = true
		_, err = r.ReadSlice('\n')
	}
	if err == io.EOF && (len(b) > 0 || tooLong) {
		err = nil
	}
	return strings.TrimRight(string(b), "\r\n"), tooLong, err
}

// table is what the lines so far have told.
type table struct {
	columns []string
	comma   rune
	seen    map[[8]byte]int // device id → line
}

// line reads one line: a label, or why not, or neither (empty, or the header).
func (t *table) line(n int, line string, tooLong bool) (l Label, ok bool, reason string) {
	if n == 1 {
		line = strings.TrimPrefix(line, "\ufeff")
	}
	switch {
	case tooLong:
		return l, false, "the line is too long"
	case strings.TrimSpace(line) == "":
		return l, false, ""
	case !utf8.ValidString(line):
		return l, false, "the text is not UTF-8"
	}
	if t.comma == 0 {
		t.comma = separator(line)
	}
	l, header, err := t.parse(line)
	if header {
		return l, false, ""
	}
	if err != nil {
		return l, false, strings.TrimPrefix(err.Error(), ErrDecode.Error()+": ")
	}
	if first := t.seen[l.ID]; first != 0 {
		return l, false, fmt.Sprintf("device %s stands on line %d already", FormatID(l.ID), first)
	}
	t.seen[l.ID] = n
	return l, true, ""
}

// separator guesses it from the first line.
func separator(line string) rune {
	for _, c := range []rune{'\t', ';', ','} {
		if strings.ContainsRune(line, c) {
			return c
		}
	}
	return ','
}

func (t *table) parse(line string) (l Label, header bool, err error) {
	r := csv.NewReader(strings.NewReader(line))
	r.Comma, r.FieldsPerRecord = t.comma, -1
	fields, err := r.Read()
	if err != nil {
		return l, false, fmt.Errorf("%w: a quotation mark is missing or misplaced", ErrDecode)
	}
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	if len(t.seen) == 0 && isHeader(fields) {
		t.columns = lower(fields)
		return l, true, nil
	}
	if len(fields) == 1 {
		l, err = Parse(fields[0])
		return l, false, err
	}
	cells := map[string]string{}
	for i, name := range t.columns[:min(len(t.columns), len(fields))] {
		cells[name] = fields[i]
	}
	l, err = parseRow(cells)
	return l, false, err
}

func lower(fields []string) []string {
	names := slices.Clone(fields)
	for i := range names {
		names[i] = strings.ToLower(names[i])
	}
	return names
}

// isHeader recognises the line that names the columns.
func isHeader(fields []string) bool {
	names := lower(fields)
	return slices.Contains(names, "id") || slices.Contains(names, labelColumn)
}

// parseRow reads one row. The label column, where there is one, says the rest.
func parseRow(cells map[string]string) (l Label, err error) {
	if text := cells[labelColumn]; text != "" {
		if l, err = Parse(text); err != nil {
			return l, err
		}
	} else {
		if l.ID, err = ParseID(cells["id"]); err != nil {
			return l, mangled(cells["id"], err)
		}
		l.Model = cells["model"]
		if l.Thumbprint, err = hexCell(cells, "thumbprint"); err != nil {
			return l, err
		}
		if l.Secret, err = hexCell(cells, "secret"); err != nil {
			return l, err
		}
	}
	l.Name, l.Place = cells["name"], cells["place"]
	if l.Address, err = parseAddress(cells["address"]); err != nil {
		return l, err
	}
	return l, l.check()
}

func hexCell(cells map[string]string, name string) ([]byte, error) {
	if cells[name] == "" {
		return nil, fmt.Errorf("%w: the %s is missing", ErrDecode, name)
	}
	b, err := parseHex(cells[name])
	if err != nil {
		return nil, mangled(cells[name], fmt.Errorf("%w: the %s is not in hex digits", ErrDecode, name))
	}
	return b, nil
}

// mangled names the usual culprit: a spreadsheet takes long hex numbers without
// letters, or with one E, for decimal ones.
func mangled(cell string, err error) error {
	if strings.Contains(cell, "E+") && strings.ContainsAny(cell, ".,") {
		return fmt.Errorf("%w (a spreadsheet has turned it into a number; format the column as text)", err)
	}
	return err
}

// parseAddress takes an address with or without a port, or nothing.
func parseAddress(s string) (netip.AddrPort, error) {
	if s == "" {
		return netip.AddrPort{}, nil
	}
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(ip, defaultPort), nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("%w: the address is not like 192.0.2.1:5683", ErrDecode)
	}
	return ap, nil
}

// WriteCSV writes labels as a table that [ParseCSV] reads. It holds their
// secrets.
func WriteCSV(w io.Writer, labels []Label) error {
	out := csv.NewWriter(w)
	if err := out.Write(Columns); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	for _, l := range labels {
		address := ""
		if l.Address.IsValid() {
			address = l.Address.String()
		}
		row := []string{
			FormatID(l.ID), l.Name, l.Model, hex.EncodeToString(l.Thumbprint),
			hex.EncodeToString(l.Secret), l.Place, address,
		}
		if err := out.Write(row); err != nil {
			return fmt.Errorf("writing the table: %w", err)
		}
	}
	out.Flush()
	return out.Error()
}
