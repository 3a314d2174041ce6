package commission

import (
	"context"
	"fmt"
	"slices"
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

// alarmRecord is an emergency's command that lamps have not confirmed yet.
type alarmRecord struct {
	On      bool     `cbor:"1,keyasint"`
	Started int64    `cbor:"2,keyasint"`
	Silent  []string `cbor:"3,keyasint"` // devices
}

// Emergency has all lamps of a group shine in front of all other commands, or ends
// that. It returns after the silent ones were asked again once; those that are still
// silent are asked on until they answer, for an hour or until the next such command,
// also by an engine that is started meanwhile.
func (e *Engine) Emergency(ctx context.Context, group string, on bool) (RollCall, error) {
	s, g, err := e.siteAndGroup(group)
	if err != nil {
		return RollCall{}, err
	}
	call, c, err := s.askFor(ctx, g, kindEmergency, alarmRequest(on), func(c *campaign) {
		c.mu.Lock()
		c.call.Until = c.call.Started + alarmTime.Milliseconds()
		c.mu.Unlock()
		c.keepAlarm(ctx) // before anything is sent
	})
	defer e.pub.flush()
	switch {
	case err != nil && c != nil && ctx.Err() == nil && s.ctx.Err() == nil:
		c.endAlarm() // whoever gave the command is told that it failed
		return call, err
	case err != nil:
		return call, err
	}
	if c.unconfirmed() == 0 {
		c.endAlarm()
	} else {
		c.keepAlarm(s.ctx)
		s.background(c.untilAll)
	}
	return c.snapshot(), nil
}

// alarmRequest is the command of an emergency, or of its end.
func alarmRequest(on bool) *coap.Message {
	state := lightState{Priority: new(uint64)}
	if on {
		full := uint64(100)
		*state.Priority, state.On, state.Level = 1, &on, &full
	}
	req := coap.NewRequest(coap.PUT, "/light", cbor.MustMarshal(state))
	coap.AddUint(req, coap.OptionContentFormat, formatCBOR)
	return req
}

// alarmOn reports whether the campaign begins an emergency.
func (c *campaign) alarmOn() bool {
	var state lightState
	return cbor.Unmarshal(c.req.Payload, &state) == nil && state.On != nil
}

// keepAlarm makes durable who has not confirmed the command, and the log's line of it.
func (c *campaign) keepAlarm(ctx context.Context) {
	snap, on := c.snapshot(), c.alarmOn()
	rec := &alarmRecord{On: on, Started: snap.Started}
	for _, a := range snap.Answers {
		if a.State != AnswerVerified {
			rec.Silent = append(rec.Silent, a.Device)
		}
	}
	if snap.Until == 0 {
		rec = nil
	}
	result := map[bool]string{true: "on", false: "off"}[on]
	line := testWrite(c.g.name, EmergencyEntry{
		Kind: "command", At: snap.Started, Result: result, Battery: -1,
		Text: fmt.Sprintf("Emergency %s in %s: %d of %s confirmed it.", result, c.g.name, snap.Verified, plural(len(snap.Answers), "lamp", "lamps")),
	})
	err := c.s.saveGroup(ctx, c.g, func(r *groupRecord) {
		if c.superseded() {
			return
		}
		r.Alarm = rec
		if snap.Ended != 0 && c.isShown() {
			r.RollCall = &snap
		}
	}, nil, line)
	if err != nil { // the lamps come first
		c.s.e.logProblem("", "keeping an emergency's command", err)
	}
}

// endAlarm ends the repetition of the command.
func (c *campaign) endAlarm() {
	c.mu.Lock()
	c.call.Until = 0
	c.mu.Unlock()
	c.keepAlarm(c.s.ctx)
	c.tellShown()
}

// tellShown is [campaign.tellAll] unless something newer is shown.
func (c *campaign) tellShown() {
	if c.isShown() {
		c.tellAll()
	}
}

// isShown reports whether nothing else was asked in the group since.
func (c *campaign) isShown() bool {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.g.current == c
}

func (c *campaign) unconfirmed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.call.Answers) - c.call.Verified
}

// resumeAlarms goes on asking who had not confirmed an emergency's command when the
// engine ended.
func (s *site) resumeAlarms() {
	s.mu.Lock()
	var open []*group
	for _, g := range s.groups {
		if g.rec.Alarm != nil {
			open = append(open, g)
		}
	}
	s.mu.Unlock()
	for _, g := range open {
		c := s.storedAlarm(g)
		s.mu.Lock()
		if shown := g.rec.RollCall; shown == nil || shown.Started <= c.call.Started {
			g.current = c
		}
		g.alarm = c
		s.mu.Unlock()
		s.background(c.untilAll)
	}
}

// storedAlarm makes the campaign of a group's record.
func (s *site) storedAlarm(g *group) *campaign {
	s.mu.Lock()
	rec, shown := g.rec.Alarm, g.rec.RollCall
	s.mu.Unlock()
	c := s.newCampaign(g, kindEmergency, alarmRequest(rec.On))
	if shown != nil && shown.Kind == kindEmergency && shown.Started == rec.Started {
		rows := c.call.Answers // of those who are still members
		c.call = *shown.copy()
		c.call.Answers = rows
		for _, a := range shown.Answers {
			if i, found := c.row[a.Device]; found {
				rows[i] = a
			}
		}
	}
	c.call.Started, c.call.Until = rec.Started, rec.Started+alarmTime.Milliseconds()
	for i := range c.call.Answers {
		row := &c.call.Answers[i]
		if row.State = AnswerVerified; slices.Contains(rec.Silent, row.Device) {
			row.State, row.Problem = AnswerSilent, &errSilent.Problem
		}
	}
	c.count()
	return c
}

// untilAll asks those who have not confirmed an emergency's command, round by round.
func (c *campaign) untilAll(ctx context.Context) {
	until := c.snapshot().Until
	for try := 1; c.unconfirmed() > 0 && c.s.e.now() < until; try++ {
		if !sleep(ctx, min(c.s.backoff(min(try, 6)), alarmPause)) || c.superseded() {
			return
		}
		if !c.askRest(ctx) {
			return
		}
	}
	left := c.unconfirmed()
	if c.endAlarm(); left > 0 {
		c.s.e.warn("", fmt.Sprintf("%s of %s never confirmed the emergency's command", plural(left, "lamp", "lamps"), c.g.name))
		return
	}
	c.s.e.info("", "all lamps of "+c.g.name+" have confirmed the emergency's command")
}

// askRest is one round; false when it is no more to be asked.
func (c *campaign) askRest(ctx context.Context) bool {
	if err := c.s.ensureMember(ctx, c.g); err != nil || c.s.rests(ctx, c.g) {
		return ctx.Err() == nil // the next round may find that better
	}
	before := c.unconfirmed()
	c.mu.Lock()
	for i := range c.call.Answers {
		if row := &c.call.Answers[i]; row.State != AnswerVerified {
			row.State = AnswerWaiting
		}
	}
	c.mu.Unlock()
	c.followUp(ctx)
	c.side.Wait()
	if ctx.Err() != nil || c.superseded() {
		return false
	}
	c.silence(errSilent)
	c.mu.Lock()
	if c.call.Ended == 0 { // the engine that began it did not see the end
		c.call.Ended = c.s.e.now()
	}
	c.mu.Unlock()
	if c.unconfirmed() < before {
		c.keepAlarm(ctx)
		c.tellShown()
	}
	return true
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
