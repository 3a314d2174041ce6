package commission

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"lamplighter/internal/cbor"
	"lamplighter/internal/coap"
	"lamplighter/internal/groupcomm"
	"lamplighter/internal/store"
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
)

// testRecord is a line of the log.
type testRecord struct {
	Group string         `cbor:"1,keyasint"`
	Entry EmergencyEntry `cbor:"2,keyasint"`
}

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
		late := s.e.now()-j.rec.Started > most.Milliseconds()
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
				t.end(ctx, it, EmergencyEntry{Result: "failed", Battery: -1}, asProblem(err))
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
	_, err = t.ask(ctx, it, t.request(1))
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
		entry := EmergencyEntry{At: int64(last.At) * 1000, Result: "passed", Battery: last.Battery, Minutes: last.Minutes}
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

func (t *tests) cancel(ctx context.Context, it *item) error {
	if it.rec.Before != 0 {
		_, _ = t.ask(ctx, it, t.request(0)) // else it ends by itself
	}
	return nil
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
	if err := t.s.logTests(ctx, t.j.rec.Group, entry, write{t.j.itemKey(it.dev.id), rec}); err != nil {
		t.s.e.logProblem(it.dev.id, "keeping the result of a test", err)
		return // it is asked again
	}
	t.s.mu.Lock()
	it.rec = rec
	t.s.mu.Unlock()
	t.s.touchJob(t.j)
}

// logTests adds a line to the log.
func (s *site) logTests(ctx context.Context, group string, entry EmergencyEntry, more ...write) error {
	return s.commit(ctx, append(more, testWrite(group, entry))...)
}

// testWrite is a line of the log; the same one again takes the place of the first.
func testWrite(group string, entry EmergencyEntry) write {
	key := fmt.Sprintf("%s%013d-%s-%s", preTest, entry.At, group, cmp.Or(entry.Device, entry.Result))
	return write{key, testRecord{group, entry}}
}

// EmergencyLog is the log of a group's emergency lights, newest first.
func (e *Engine) EmergencyLog(ctx context.Context, group string) ([]EmergencyEntry, error) {
	s, g, err := e.siteAndGroup(group)
	if err != nil {
		return nil, err
	}
	list := []EmergencyEntry{}
	err = s.db.View(ctx, func(tx store.Tx) error {
		return scan(tx, preTest, func(_ string, r *testRecord) {
			if r.Group == g.name {
				list = append(list, r.Entry)
			}
		})
	})
	slices.SortStableFunc(list, func(a, b EmergencyEntry) int { return cmp.Compare(b.At, a.At) })
	return list, asError(err)
}

// EmergencyLogCSV is the log as a table.
func (e *Engine) EmergencyLogCSV(ctx context.Context, group string) (string, error) {
	list, err := e.EmergencyLog(ctx, group)
	if err != nil {
		return "", err
	}
	s, err := e.site()
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.Write([]string{"time", "device", "name", "place", "kind", "result", "battery_percent", "minutes", "text"})
	for _, x := range list {
		row := []string{timeCell(x.At), x.Device, "", "", x.Kind, x.Result, "", "", plainCell(x.Text)}
		if d, err := s.device(x.Device); err == nil {
			r := s.of(d)
			row[2], row[3] = plainCell(r.Name), plainCell(r.Place)
		}
		if x.Battery >= 0 {
			row[6] = strconv.Itoa(x.Battery)
		}
		if x.Kind == "duration" {
			row[7] = strconv.Itoa(x.Minutes)
		}
		w.Write(row)
	}
	w.Flush()
	return out.String(), w.Error()
}
