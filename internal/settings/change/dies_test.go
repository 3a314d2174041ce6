package change_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"lamplighter/internal/coap"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/settings"
	"lamplighter/internal/settings/change"
	"lamplighter/internal/sim"
)

// dying is a group whose sender dies when one of its messages has left.
type dying struct {
	groupcomm.Group
	left int // messages that it has until then
	kill context.CancelFunc
}

func (g *dying) out() error {
	if g.left--; g.left == 0 {
		g.kill()
		return context.Canceled
	}
	return nil
}

func (g *dying) Send(ctx context.Context, req *coap.Message, copies int) (int, error) {
	n, err := g.Group.Send(ctx, req, copies)
	return n, errors.Join(err, g.out())
}

func (g *dying) Ask(ctx context.Context, req *coap.Message, wait time.Duration, each func(groupcomm.Answer)) error {
	dies := g.left == 1
	err := g.Group.Ask(ctx, req, wait, func(a groupcomm.Answer) {
		if !dies { // nobody is there to hear it
			each(a)
		}
	})
	return errors.Join(err, g.out())
}

func (g *dying) Call(ctx context.Context, device string, req *coap.Message) (groupcomm.Answer, error) {
	a, err := g.Group.Call(ctx, device, req)
	return a, errors.Join(err, g.out())
}

// The page may also die when a message has left and before an answer is there: another
// goes on from what was saved before, and all ends as both sides say, confirmed by all
// or taken back by all.
func TestDiesAfterAnyMessage(t *testing.T) {
	for _, last := range []struct {
		step func(*change.Run, context.Context) error
		ends change.Phase
	}{{(*change.Run).Confirm, change.Done}, {(*change.Run).Revert, change.Reverted}} {
		for at := 1; diesAfter(t, at, last.step, last.ends); at++ {
		}
	}
}

// diesAfter has the page die after some message, and says whether it came to that.
func diesAfter(t *testing.T, at int, last func(*change.Run, context.Context) error, ends change.Phase) bool {
	t.Helper()
	w := setup{n: 5, seed: uint64(at)}.make(t)
	before := w.Devices[0].Holder().Values()
	p := w.Change(change.Change{Values: office()}, change.Options{})
	var saved []byte
	p.Save = func(st change.State) error { saved = st.Encode(); return nil }
	r := w.plan(p)
	ctx, kill := context.WithCancel(t.Context())
	alive := p.Group
	p.Group = &dying{Group: alive, left: at, kill: kill}
	r = change.Resume(p, r.State())
	err := r.Apply(ctx)
	if err == nil {
		err = last(r, ctx)
	}
	died := errors.Is(err, context.Canceled)
	if p.Group = alive; died {
		st, err := change.ParseState(saved)
		w.must(err)
		r = change.Resume(p, st)
		var why *change.Reason // it goes on with taking the change back
		if err := r.Continue(t.Context()); !errors.As(err, &why) || ends != change.Reverted || why.ID != "cfg-canceled" {
			w.must(err)
		}
	} else {
		w.must(err)
	}
	if r.View().Phase == change.Trial {
		w.must(last(r, t.Context()))
	}
	w.phase(r, ends)
	w.claims(r.View())
	w.Wait(2 * time.Hour)
	if ends == change.Done {
		w.run(office(), 5)
	} else {
		w.run(before, 5)
		w.run(office(), 0)
	}
	return died
}

// Before the first commit leaves it is kept that devices may switch.
func TestKeptBeforeTheCommit(t *testing.T) {
	w := setup{n: 4}.make(t)
	p := w.Change(change.Change{Values: office()}, change.Options{})
	var saved []byte
	p.Save = func(st change.State) error { saved = st.Encode(); return nil }
	seen := false
	p.Group = tap{p.Group, func(req *coap.Message, _ string) error {
		if mode(req) != settings.ModeCommit || seen {
			return nil
		}
		seen = true
		st, err := change.ParseState(saved)
		w.must(err)
		for _, row := range st.Rows {
			if st.Phase != change.Scheduled || !row.Committed || st.RevertAt.IsZero() {
				t.Errorf("%s: kept is that it is %s, committed %v", row.Device, st.Phase, row.Committed)
			}
		}
		return nil
	}}
	w.must(w.plan(p).Apply(t.Context()))
	if !seen {
		t.Error("nothing was committed")
	}
}

// A device that is gone when the others are told to keep the settings: the change is not
// called done, and the device goes back.
func TestGoneAtTheConfirmation(t *testing.T) {
	w := setup{n: 5}.make(t)
	p := w.Change(change.Change{Values: office()}, change.Options{})
	r := w.plan(p)
	w.must(r.Apply(t.Context()))
	p.Group = tap{p.Group, func(req *coap.Message, _ string) error {
		if mode(req) == settings.ModeConfirm {
			w.Net.SetLink(w.Devices[3].Addr, sim.Link{Loss: 1})
		}
		return nil
	}}
	r = change.Resume(p, r.State())
	w.refused(r.Confirm(t.Context()), "cfg-partly")
	if v := r.View(); v.Phase != change.Failed || v.Rows[3].Reason == nil || v.Rows[3].Reason.ID != "cfg-unsure" {
		t.Errorf("%s, %+v", v.Phase, v.Rows[3])
	}
	w.Wait(time.Hour)
	w.run(office(), 4)
}

// Devices go back when the time is over that the person chose, not another.
func TestWithin(t *testing.T) {
	w := setup{n: 3}.make(t)
	r := w.plan(w.Change(change.Change{Values: office()}, change.Options{Within: 90 * time.Second}))
	w.must(r.Apply(t.Context()))
	for _, d := range w.Devices {
		if left := d.Holder().View().Left; left > 90*time.Second || left < 70*time.Second {
			t.Errorf("%s goes back in %v", d.ID, left)
		}
	}
	w.Wait(r.View().RevertAt.Sub(w.Clock.Now()) + time.Second)
	w.run(office(), 0)
}

// A change that is taken back while it waits for the switch is not waited for.
func TestRevertInterrupts(t *testing.T) {
	inBubble(t, "scheduled", func(t *testing.T) {
		w := setup{n: 3, real: true}.make(t)
		r := w.plan(w.Change(change.Change{Values: office()}, change.Options{In: time.Hour}))
		begun := time.Now()
		applied := make(chan error)
		go func() { applied <- r.Apply(t.Context()) }()
		time.Sleep(time.Minute)
		w.must(r.Revert(t.Context()))
		if err := <-applied; !errors.Is(err, context.Canceled) {
			t.Errorf("applied: %v", err)
		}
		if d := time.Since(begun); d > 10*time.Minute {
			t.Errorf("it took %v", d)
		}
		time.Sleep(2 * time.Hour)
		w.run(office(), 0)
	})
}

// A switch that too few devices have heard of does not take place: the others are told
// to forget it, at once.
func TestForgetsTheSwitch(t *testing.T) {
	w := setup{n: 5}.make(t)
	p := w.Change(change.Change{Values: office()}, change.Options{In: time.Hour})
	p.Group = tap{p.Group, func(req *coap.Message, _ string) error {
		if mode(req) == settings.ModeCommit {
			w.Net.SetLink(w.Devices[3].Addr, sim.Link{Loss: 1})
		}
		return nil
	}}
	r := w.plan(p)
	w.refused(r.Apply(t.Context()), "cfg-too-few")
	w.phase(r, change.Stopped)
	for i, d := range w.Devices {
		if v := d.Holder().View(); i != 3 && (v.State != settings.Idle || v.Result != settings.ResultCanceled) {
			t.Errorf("%s: %v, %v", d.ID, v.State, v.Result)
		}
	}
	w.Wait(2 * time.Hour)
	for _, d := range w.Devices {
		if n := len(d.Applied()); n > 0 {
			t.Errorf("%s has switched %d times", d.ID, n)
		}
	}
}
