package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"sync"
)

// suite runs cases side by side and prints a line for each, in their order.
type suite struct {
	tools
	io.Writer
	lanes int

	ok, failed, lacking, missing int
}

// job is one case on its way.
type job struct {
	testCase
	peer string // name and version
	err  error
	log  []byte
	done chan struct{}
}

// run runs the cases whose names match wanted and says whether all is well: no
// case failed and, where it matters (CI is set), no implementation is missing.
func (s *suite) run(ctx context.Context, wanted *regexp.Regexp) bool {
	jobs := s.jobs(ctx, wanted)
	queue := make(chan *job)
	var lanes sync.WaitGroup
	for range max(s.lanes, 1) {
		lanes.Go(func() {
			for j := range queue {
				j.log, j.err = runOne(ctx, s.tools, j.testCase)
				close(j.done)
			}
		})
	}
	go func() {
		defer close(queue)
		for _, j := range jobs {
			queue <- j
		}
	}()
	for _, j := range jobs {
		<-j.done
		s.print(j)
	}
	lanes.Wait()
	fmt.Fprintf(s, "%d cases: %d ok, %d failed, %d not available\n",
		len(jobs), s.ok, s.failed, s.lacking)
	if s.missing > 0 {
		fmt.Fprintf(s, "\n*** INTEROP INCOMPLETE: %d implementations are missing ***\n\n", s.missing)
	}
	if len(jobs) == 0 && s.missing == 0 {
		fmt.Fprintln(s, "no case matches -only")
		return false
	}
	return s.failed == 0 && (s.missing == 0 || os.Getenv("CI") == "")
}

// jobs lists the cases of the implementations that are here.
func (s *suite) jobs(ctx context.Context, wanted *regexp.Regexp) (jobs []*job) {
	for _, other := range implementations {
		var cases []testCase
		for _, c := range other.cases {
			if wanted.MatchString(c.name) {
				cases = append(cases, c)
			}
		}
		if len(cases) == 0 {
			continue
		}
		peer, err := other.identify(ctx, s.tools)
		switch {
		case errors.Is(err, errMissing):
			s.missing++
			fmt.Fprintf(s, "\n*** %s IS NOT INSTALLED: %d CASES ARE NOT RUN ***\n\n", other.name, len(cases))
			continue
		case err != nil:
			s.failed++
			fmt.Fprintf(s, "FAIL  asking %s for its version: %v\n", other.name, err)
			continue
		}
		for _, c := range cases {
			jobs = append(jobs, &job{testCase: c, peer: peer, done: make(chan struct{})})
		}
	}
	return jobs
}

// print prints the line of a case that has ended, and counts it.
func (s *suite) print(j *job) {
	var lacks unavailable
	switch {
	case j.err == nil:
		s.ok++
		fmt.Fprintf(s, "ok    %-76s %s\n", j.name, j.peer)
	case errors.As(j.err, &lacks):
		s.lacking++
		fmt.Fprintf(s, "n/a   %-76s %s (%s)\n", j.name, j.peer, lacks)
	default:
		s.failed++
		fmt.Fprintf(s, "FAIL  %-76s %s: %v\n%s", j.name, j.peer, j.err, indented(j.log))
	}
}
