package rollout

import (
	"bytes"
	"context"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/firmware"
)

// ready is a device that may be told to switch.
type ready struct {
	id    string
	nonce []byte
}

// nonces asks devices for fresh nonces. Only those that say that they hold the image
// of this session, verified, are returned.
func (s *Sender) nonces(ctx context.Context, ids []string) ([]ready, error) {
	const fields = firmware.FieldNonce | firmware.FieldProgress | firmware.FieldRunning
	of, got := s.st.Sent, map[string]reply{}
	if s.many(ids) {
		var err error
		if got, err = s.gather(ctx, fields, len(s.st.Devices)); err != nil {
			return nil, err
		}
	}
	var silent []string
	for _, id := range ids {
		if _, ok := got[id]; !ok {
			silent = append(silent, id)
		}
	}
	for _, r := range s.callTwice(ctx, silent, fetchRequest(fields, s.st.Session, 0)) {
		got[r.device] = r
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var able []ready
	for _, id := range ids {
		d, r := s.device(id), got[id]
		s.take(d, r, of)
		switch {
		case r.problem() != nil && d.State == Verified:
			s.fail(d, Silent, r.problem())
		case d.State == Verified && s.holds(&r.status):
			able = append(able, ready{id, r.status.Nonce})
		}
	}
	return able, nil
}

// holds reports whether a status says that the device has the verified image of this
// session and gives a nonce: nothing else is ever told to switch.
func (s *Sender) holds(st *firmware.Status) bool {
	return st.State == firmware.Downloaded && bytes.Equal(st.Session, s.st.Session) &&
		bytes.Equal(st.Ready, s.p.digest()) && len(st.Nonce) == firmware.NonceSize
}

// tellSwitch tells devices to switch at a time, or as soon as all may have heard it.
func (s *Sender) tellSwitch(ctx context.Context, ids []string, at time.Time) error {
	able, err := s.nonces(ctx, ids)
	if err != nil || len(able) == 0 {
		return err
	}
	chunks := (len(able) + firmware.MaxNonces - 1) / firmware.MaxNonces
	lead := switchTimes * (s.air(chunks*overheadGroup+len(able)*firmware.NonceSize) + switchGap)
	if len(able) <= fewAlone {
		lead = max(lead, aloneLead)
	}
	if now := s.p.Clock.Now(); at.Before(now.Add(lead)) {
		at = now.Add(lead)
	}
	s.mu.Lock()
	for _, r := range able {
		d := s.device(r.id)
		d.State, d.Reason, d.Executed, d.SwitchBy = Switched, nil, true, at.Add(s.st.Options.ConfirmWithin)
	}
	s.mu.Unlock()
	if err := s.keep(); err != nil { // before the first message: a switch is never forgotten
		return err
	}
	s.show(true)
	if len(able) <= fewAlone {
		return s.tellEach(ctx, able, at)
	}
	return s.announce(ctx, able, at)
}

func (s *Sender) activate(mode firmware.Mode, in time.Duration, nonces []byte) *coap.Message {
	body := firmware.ActivateRequest{Session: s.st.Session, Digest: s.p.digest(), Mode: mode, Nonces: nonces}
	if mode == firmware.ModeTest {
		body.In = uint(max(0, in.Milliseconds()))
		body.Within = uint(s.st.Options.ConfirmWithin / time.Second)
	}
	return request(coap.POST, firmware.PathActivate, body.Append(nil))
}

// tellEach tells a few devices one by one.
func (s *Sender) tellEach(ctx context.Context, able []ready, at time.Time) error {
	for _, r := range able {
		s.call(ctx, r.id, s.activate(firmware.ModeTest, at.Sub(s.p.Clock.Now()), r.nonce))
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return s.sleepBusy(ctx, at)
}

// announce says the switch to all, several times, each time with what remains. Only
// the devices whose nonces are in it obey.
func (s *Sender) announce(ctx context.Context, able []ready, at time.Time) error {
	every := at.Sub(s.p.Clock.Now()) / switchTimes
	for i := range switchTimes {
		for start := 0; start < len(able); start += firmware.MaxNonces {
			var nonces []byte
			for _, r := range able[start:min(start+firmware.MaxNonces, len(able))] {
				nonces = append(nonces, r.nonce...)
			}
			if err := s.due(ctx); err != nil {
				return err
			}
			if err := s.send(ctx, s.activate(firmware.ModeTest, at.Sub(s.p.Clock.Now()), nonces), 1); err != nil {
				return err
			}
		}
		if i < switchTimes-1 {
			if err := s.p.Clock.Sleep(ctx, min(every, 10*time.Second)); err != nil {
				return err
			}
		}
	}
	return s.sleepBusy(ctx, at)
}
