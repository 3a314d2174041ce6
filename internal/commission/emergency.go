package commission

import (
	"context"
	"fmt"
	"time"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
)

const (
	alarmCopies = 3                     // of an emergency's command, or of a scene, byte-identical
	alarmGap    = 20 * time.Millisecond // between two of them
	alarmTime   = time.Hour             // how long a lamp that stays silent is asked
	alarmPause  = 30 * time.Second      // between two rounds, at most
)

// Emergency has all lamps of a group shine in front of all other commands, or ends
// that. It returns after the silent ones were asked again once; those that are still
// silent are asked on until they answer, for an hour or until the next such command.
func (e *Engine) Emergency(ctx context.Context, group string, on bool) (RollCall, error) {
	s, g, err := e.siteAndGroup(group)
	if err != nil {
		return RollCall{}, err
	}
	state := lightState{Priority: new(uint64)}
	if on {
		full := uint64(100)
		*state.Priority, state.On, state.Level = 1, &on, &full
	}
	req := coap.NewRequest(coap.PUT, "/light", cbor.MustMarshal(state))
	coap.AddUint(req, coap.OptionContentFormat, formatCBOR)
	call, c, err := s.askFor(ctx, g, kindEmergency, req)
	if err != nil {
		return call, err
	}
	result := map[bool]string{true: "on", false: "off"}[on]
	text := fmt.Sprintf("Emergency %s in %s: %d of %s confirmed it.", result, g.name, call.Verified, plural(len(call.Answers), "lamp", "lamps"))
	entry := EmergencyEntry{Kind: "command", At: call.Started, Result: result, Battery: -1, Text: text}
	if err := s.logTests(ctx, g.name, entry); err != nil {
		s.e.logProblem("", "keeping the log of emergencies", err)
	}
	if call.Verified < len(call.Answers) {
		s.background(c.untilAll)
	}
	e.pub.flush()
	return call, nil
}

// untilAll asks those who have not answered an emergency's command, round by round.
func (c *campaign) untilAll(ctx context.Context) {
	ends := time.Now().Add(alarmTime)
	for try := 1; time.Now().Before(ends); try++ {
		if !sleep(ctx, min(c.s.backoff(min(try, 6)), alarmPause)) || c.superseded() {
			return
		}
		before := c.snapshot().Verified
		c.mu.Lock()
		for i := range c.call.Answers {
			if row := &c.call.Answers[i]; row.State == AnswerSilent || row.State == AnswerError {
				row.State = AnswerWaiting
			}
		}
		c.mu.Unlock()
		c.followUp(ctx)
		c.side.Wait()
		if c.superseded() {
			return
		}
		c.silence(errSilent)
		snap := c.snapshot()
		if snap.Verified > before {
			c.s.updateGroup(c.g, func(r *groupRecord) { r.RollCall = &snap })
			c.tellAll()
		}
		if snap.Verified == len(snap.Answers) {
			c.s.e.info("", "all lamps of "+c.g.name+" have confirmed the emergency's command")
			return
		}
	}
}

// silence ends the rows of those who have not answered.
func (c *campaign) silence(why *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.call.Answers {
		row := &c.call.Answers[i]
		if row.State == AnswerWaiting || row.State == AnswerAsking {
			row.State, row.Problem = AnswerSilent, &why.Problem
		}
	}
	c.count()
}
