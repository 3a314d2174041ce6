package commission

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"strconv"
	"time"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
)

var errLight = problem("bad-light", "A light is on or off, and its level is 0 to 100 percent.", "Give one of them or both.")

// SetLight sends one multicast command and returns when all have answered or the
// silent ones were asked again.
func (e *Engine) SetLight(ctx context.Context, group string, light Light) (RollCall, error) {
	if light.On == nil && light.Level == nil || light.Level != nil && (*light.Level < 0 || *light.Level > 100) {
		return RollCall{}, errLight
	}
	s, err := e.site()
	if err != nil {
		return RollCall{}, err
	}
	g, err := s.knownGroup(group)
	if err != nil {
		return RollCall{}, err
	}
	state := lightState{On: light.On}
	if light.Level != nil {
		level := uint64(*light.Level)
		state.Level = &level
	}
	req := coap.NewRequest(coap.PUT, "/light", cbor.MustMarshal(state))
	coap.AddUint(req, coap.OptionContentFormat, formatCBOR)
	s.updateGroup(g, func(r *groupRecord) { r.Light = merged(r.Light, light) })
	call, err := s.ask(ctx, g, kindLight, req)
	e.pub.flush()
	return call, err
}

// merged is what a group shows after a command that leaves a part out.
func merged(old *Light, light Light) *Light {
	if old != nil && light.On == nil {
		light.On = old.On
	}
	if old != nil && light.Level == nil {
		light.Level = old.Level
	}
	return &light
}

// RollCall asks every device of a group for a sign of life: one multicast GET,
// the silent ones asked again by unicast.
func (e *Engine) RollCall(ctx context.Context, group string) (RollCall, error) {
	s, err := e.site()
	if err != nil {
		return RollCall{}, err
	}
	g, err := s.knownGroup(group)
	if err != nil {
		return RollCall{}, err
	}
	call, err := s.ask(ctx, g, kindRollCall, coap.NewRequest(coap.GET, "/light", nil))
	e.pub.flush()
	return call, err
}

// RollCallCSV is the last roll call of a group as a table.
func (e *Engine) RollCallCSV(_ context.Context, group string) (string, error) {
	s, err := e.site()
	if err != nil {
		return "", err
	}
	g, err := s.knownGroup(group)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	call := g.rec.RollCall
	s.mu.Unlock()
	if call == nil {
		return "", errNoRollCall
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.Write([]string{"device", "name", "place", "state", "sender_id", "round_trip_ms", "asked_again", "on", "level", "time", "problem"})
	for _, a := range call.Answers {
		w.Write(s.csvRow(a))
	}
	w.Flush()
	return out.String(), w.Error()
}

func (s *site) csvRow(a Answer) []string {
	row := []string{a.Device, "", "", string(a.State), a.SenderID, "", strconv.FormatBool(a.Unicast), "", "", "", ""}
	if d, err := s.device(a.Device); err == nil {
		r := s.of(d)
		row[1], row[2] = plainCell(r.Name), plainCell(r.Place)
	}
	if a.State == AnswerVerified {
		row[5], row[7], row[8] = fmt.Sprintf("%.1f", a.RTT), strconv.FormatBool(a.On), strconv.Itoa(a.Level)
	}
	if a.At != 0 {
		row[9] = time.UnixMilli(a.At).UTC().Format(time.RFC3339)
	}
	if a.Problem != nil {
		row[10] = plainCell(a.Problem.Text)
	}
	return row
}

// plainCell keeps a spreadsheet from taking a name for a formula.
func plainCell(s string) string {
	if s != "" && bytes.ContainsRune([]byte("=+-@\t\r"), rune(s[0])) {
		return "'" + s
	}
	return s
}
