package commission

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/groupcomm"
)

var (
	errTestKind   = problem("em-bad-test", "Emergency lights test their function or their duration.", "Choose one of both.")
	errTestNone   = problem("em-none", "The device is no emergency light.", "Leave it out.")
	errTestFailed = problem("em-failed", "The emergency light did not pass the test.", "Look at lamp and battery, then test it again.")
	errTestStop   = problem("em-stopped", "The test was stopped at the device, or it lost power.", "Test it again.")
)

// Times of tests.
const (
	functionPatience = 10 * time.Minute
	durationPatience = 24 * time.Hour

	wrongClock = 3600 // seconds that a light's clock may be wrong
)

// lightTest is a test as a device tells of it.
type lightTest struct {
	At      uint64 `cbor:"2,keyasint"`
	Result  uint   `cbor:"3,keyasint"`
	Battery int    `cbor:"4,keyasint"`
	Minutes int    `cbor:"5,keyasint"`
}

// lightTests is the answer of /em.
type lightTests struct {
	Battery  int        `cbor:"1,keyasint"`
	Testing  uint       `cbor:"2,keyasint"`
	Function *lightTest `cbor:"3,keyasint"`
	Duration *lightTest `cbor:"4,keyasint"`
}

func (l *lightTests) last(kind uint) (t lightTest) {
	if p := map[uint]*lightTest{1: l.Function, 2: l.Duration}[kind]; p != nil {
		t = *p
	}
	return t
}

// EmergencyTest has emergency lights test themselves.
func (e *Engine) EmergencyTest(ctx context.Context, group, kind string, devices []string) (Job, error) {
	s, g, err := e.siteAndGroup(group)
	if err != nil {
		return Job{}, err
	}
	job := map[string]string{"function": jobTestFunction, "duration": jobTestDuration}[kind]
	if job == "" {
		return Job{}, errTestKind
	}
	list, err := s.recipients(g, devices)
	if err != nil {
		return Job{}, err
	}
	var ids []string
	for _, d := range list {
		ids = append(ids, d.id)
	}
	return s.start(ctx, job, g.name, ids)
}

// tests is a job of tests at work.
type tests struct {
	s    *site
	j    *job
	way  *groupWay
	kind uint
	word string
}

// workOnTests is [site.workOn] for jobs of tests.
func (s *site) workOnTests(ctx context.Context, j *job) {
	g, err := s.knownGroup(j.rec.Group)
	if err != nil {
		s.failAll(ctx, j, asProblem(err))
		return
	}
	began := s.e.now() // not when the job was made: it may go on, or be tried again, long after
	t := &tests{s: s, j: j, way: s.wayTo(g), kind: 1, word: "function"}
	every, most := 5*s.e.cfg.Tuning.Backoff, functionPatience
	if j.rec.Kind == jobTestDuration {
		t.kind, t.word, every, most = 2, "duration", 60*s.e.cfg.Tuning.Backoff, durationPatience
	}
	if err := s.findLost(ctx, s.devicesOf(j)); err != nil {
		s.failAll(ctx, j, asProblem(err))
		return
	}
	t.each(ctx, t.begin)
	for ctx.Err() == nil && len(s.todo(j)) > 0 {
		if t.way.clock.Sleep(ctx, every) != nil {
			break
		}
		late := s.e.now()-began > most.Milliseconds()
		t.each(ctx, func(ctx context.Context, it *item) error { return t.look(ctx, it, late) })
	}
	if s.wasCanceled(j) {
		ctx, cancel := context.WithTimeout(s.ctx, revertTime)
		defer cancel()
		t.each(ctx, t.cancel)
	}
}

// each does a step at all devices that are to do, a few at a time. One that fails for
// good ends.
func (t *tests) each(ctx context.Context, step func(context.Context, *item) error) {
	slots := make(chan struct{}, t.s.e.cfg.Tuning.Concurrency)
	var all sync.WaitGroup
	for _, it := range t.s.todo(t.j) {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if err := step(ctx, it); err != nil && ctx.Err() == nil {
				t.fail(ctx, it, asProblem(err))
			}
		})
	}
	all.Wait()
}

// ask makes a request to one light.
func (t *tests) ask(ctx context.Context, it *item, req *coap.Message) (l lightTests, err error) {
	a, err := t.way.Call(ctx, it.dev.id, req)
	if errors.Is(err, groupcomm.ErrGone) {
		return l, errNoKID.because(err)
	}
	if err != nil {
		return l, with(atDevice, "testing", err)
	}
	if a.Resp.Code == coap.NotFound {
		return l, errTestNone
	}
	if err := coap.CheckResponse(a.Resp); err != nil {
		return l, with(atDevice, "testing", err)
	}
	return l, with(atDevice, "testing", cbor.Unmarshal(a.Resp.Payload, &l))
}

func (t *tests) request(start uint) *coap.Message {
	req := coap.NewRequest(coap.POST, "/em", cbor.MustMarshal(map[uint]uint{1: t.kind, 2: start}))
	coap.AddUint(req, coap.OptionContentFormat, formatCBOR)
	return req
}

// begin starts the test at a light. Which test was its latest stands before: a job
// that goes on knows whether it has ended meanwhile.
func (t *tests) begin(ctx context.Context, it *item) error {
	if it.rec.Before != 0 {
		return nil
	}
	l, err := t.ask(ctx, it, coap.NewRequest(coap.GET, "/em", nil))
	if err != nil {
		return err
	}
	rec := itemRecord{State: itemTodo, Step: "testing", Tries: 1, Before: l.last(t.kind).At + 1}
	if err := t.s.commit(ctx, write{t.j.itemKey(it.dev.id), rec}); err != nil {
		return err
	}
	t.s.mu.Lock()
	it.rec = rec
	t.s.mu.Unlock()
	t.s.touchJob(t.j)
	if _, err = t.ask(ctx, it, t.request(1)); err != nil && asProblem(err).Retry {
		return nil // it may have begun: the look tells
	}
	return err
}

// look asks how a test stands.
func (t *tests) look(ctx context.Context, it *item, late bool) error {
	l, err := t.ask(ctx, it, coap.NewRequest(coap.GET, "/em", nil))
	switch p := asProblem(err); {
	case err != nil && p.ID == errSilent.ID && late:
		t.end(ctx, it, EmergencyEntry{Result: "silent", Battery: -1}, p)
		return nil
	case err != nil && p.Retry:
		return nil // it is asked again
	case err != nil:
		return err
	}
	last := l.last(t.kind)
	switch {
	case last.At+1 == it.rec.Before && l.Testing == t.kind, last.At+1 == it.rec.Before && !late:
		if l.Testing == 0 { // it lost power, or nobody heard
			_, err = t.ask(ctx, it, t.request(1))
		}
		if p := asProblem(err); p != nil && !p.Retry {
			return err
		}
	case last.At+1 == it.rec.Before:
		t.end(ctx, it, EmergencyEntry{Result: "failed", Battery: l.Battery}, errTestStop)
	default:
		entry := EmergencyEntry{At: t.when(last.At), Result: "passed", Battery: last.Battery, Minutes: last.Minutes}
		var p *Error
		switch last.Result {
		case 2:
			entry.Result, p = "failed", errTestFailed
		case 3:
			entry.Result, p = "canceled", errTestStop
		}
		t.end(ctx, it, entry, p)
	}
	return nil
}

// when is the time of a test in milliseconds, as the light says it, in seconds. Where its
// clock cannot be right it is 0.
func (t *tests) when(at uint64) int64 {
	if now := t.s.e.now() / 1000; int64(at) < t.j.rec.Started/1000-wrongClock || at > uint64(now+wrongClock) {
		return 0
	}
	return int64(at) * 1000
}

func (t *tests) cancel(ctx context.Context, it *item) error {
	if it.rec.Before != 0 {
		_, _ = t.ask(ctx, it, t.request(0)) // else it ends by itself
	}
	return nil
}

// fail ends the part of a light that could not be tested. The log has only what is about
// an emergency light: that it is silent, or that its test was given up.
func (t *tests) fail(ctx context.Context, it *item, p *Error) {
	switch {
	case p.ID == errSilent.ID:
		t.end(ctx, it, EmergencyEntry{Result: "silent", Battery: -1}, p)
	case it.rec.Before != 0:
		t.end(ctx, it, EmergencyEntry{Result: "canceled", Battery: -1}, p)
	default:
		t.keep(ctx, it, itemRecord{State: itemFailed, Tries: it.rec.Tries, Problem: &p.Problem})
	}
}

// end ends a light's part and logs it, in one write.
func (t *tests) end(ctx context.Context, it *item, entry EmergencyEntry, p *Error) {
	r := t.s.of(it.dev)
	entry.Device, entry.Kind = it.dev.id, t.word
	entry.At = cmp.Or(entry.At, t.s.e.now())
	entry.Text = fmt.Sprintf("%s test %s", map[uint]string{1: "Function", 2: "Duration"}[t.kind], entry.Result)
	if entry.Minutes > 0 {
		entry.Text += fmt.Sprintf(" after %d minutes", entry.Minutes)
	}
	if r.Name != "" {
		entry.Text += ": " + r.Name
	}
	rec := itemRecord{State: itemDone, Step: entry.Result, Tries: it.rec.Tries, Before: it.rec.Before}
	if p != nil {
		rec.State, rec.Problem = itemFailed, &p.Problem
		entry.Text += ". " + p.Text
	}
	t.keep(ctx, it, rec, testWrite(t.j.rec.Group, entry))
}

// keep ends a light's part, durably, together with more.
func (t *tests) keep(ctx context.Context, it *item, rec itemRecord, more ...write) {
	if err := t.s.commit(ctx, append(more, write{t.j.itemKey(it.dev.id), rec})...); err != nil {
		t.s.e.logProblem(it.dev.id, "keeping the result of a test", err)
		return // it is asked again
	}
	t.s.mu.Lock()
	it.rec = rec
	t.s.mu.Unlock()
	t.s.touchJob(t.j)
}
