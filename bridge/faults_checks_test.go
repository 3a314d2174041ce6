package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"lamplighter/internal/commission"
	"lamplighter/internal/label"
)

// wait waits for a job that was just started or tried again.
func (i *installer) wait(j commission.Job, err error) commission.Job {
	i.s.t.Helper()
	if err == nil {
		ctx, cancel := context.WithTimeout(i.s.t.Context(), time.Minute)
		defer cancel()
		j, err = i.WaitJob(ctx, j.ID)
	}
	if err != nil {
		i.s.t.Fatal(err)
	}
	return j
}

// join joins lamps, or fails the test.
func (i *installer) join(ids ...string) commission.Job {
	i.s.t.Helper()
	return i.done(i.wait(i.Join(i.s.t.Context(), faultGroup, ids)))
}

func (i *installer) done(j commission.Job) commission.Job {
	i.s.t.Helper()
	if j.State != commission.JobDone {
		i.s.t.Fatalf("the job to %s ended as %s: %s", j.Kind, j.State, problems(j))
	}
	return j
}

// roll calls the roll and holds it against who is to answer, and who is not.
func (i *installer) roll(silent ...string) commission.RollCall {
	i.s.t.Helper()
	call, err := i.RollCall(i.s.t.Context(), faultGroup)
	if err != nil {
		i.s.t.Fatal(err)
	}
	for _, a := range call.Answers {
		want := commission.AnswerVerified
		for _, id := range silent {
			if a.Device == id {
				want = commission.AnswerSilent
				i.s.sentence(a.Problem, "device-silent")
			}
		}
		if a.State != want {
			i.s.t.Errorf("%s is %s in the roll call, want %s: %+v", a.Device, a.State, want, a.Problem)
		}
	}
	if call.Verified != len(call.Answers)-len(silent) || call.Verified == 0 {
		i.s.t.Errorf("%d of %d verified, %d are to be silent", call.Verified, len(call.Answers), len(silent))
	}
	return call
}

// joinedOnce checks that exactly these lamps are members of the group, each
// once, with the browsers that joined.
func (s *faultSite) joinedOnce(browsers int, ids ...string) {
	s.t.Helper()
	members, err := s.members(context.Background(), faultGroup)
	if err != nil {
		s.t.Fatal(err)
	}
	count, senders := map[string]int{}, map[string]bool{}
	for _, m := range members {
		count[m.Subject]++
		if senders[m.SenderID] {
			s.t.Errorf("Sender ID %s has two members", m.SenderID)
		}
		senders[m.SenderID] = true
	}
	for _, id := range ids {
		if count[id] != 1 {
			s.t.Errorf("%s is a member %d times", id, count[id])
		}
	}
	if len(members) != len(ids)+browsers {
		s.t.Errorf("%d members, want %d lamps and %d browsers", len(members), len(ids), browsers)
	}
}

// sentence checks what a person reads of a problem.
func (s *faultSite) sentence(p *commission.Problem, id string) {
	s.t.Helper()
	if p == nil || p.ID != id {
		s.t.Errorf("the problem is %+v, want %s", p, id)
		return
	}
	s.show(p)
	for _, text := range []string{p.Text, p.Next} {
		if len(text) < 8 || len(text) > 240 || !strings.HasSuffix(text, ".") || text[0] < 'A' || text[0] > 'Z' || strings.Contains(text, "%!") {
			s.t.Errorf("%s: %q is no sentence", id, text)
		}
	}
}

// told checks what a person reads of an error.
func (s *faultSite) told(err error, id string) {
	s.t.Helper()
	var known *commission.Error
	if !errors.As(err, &known) {
		s.t.Errorf("the error is %v, want %s", err, id)
		return
	}
	s.seen.Write([]byte(err.Error() + "\n"))
	s.sentence(&known.Problem, id)
}

// problemOf is what a job says of a device.
func problemOf(j commission.Job, id string) *commission.Problem {
	for _, it := range j.Items {
		if it.Device == id {
			return it.Problem
		}
	}
	return nil
}

func problems(j commission.Job) string {
	var b strings.Builder
	for _, it := range j.Items {
		if it.Problem != nil {
			fmt.Fprintf(&b, "%s: %s (%s); ", it.Device, it.Problem.ID, it.Problem.Text)
		}
	}
	return b.String()
}

// until waits for something to come true.
func (s *faultSite) until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s does not come true", what)
		}
	}
}

// lampsIn counts the lamps among the members.
func (s *faultSite) lampsIn() (n int) {
	members, err := s.gm.server.Members(context.Background(), faultGroup)
	if err != nil {
		s.t.Error(err)
	}
	for _, m := range members {
		if _, err := label.ParseID(m.Subject); err == nil {
			n++
		}
	}
	return n
}
