package main

import (
	"context"
	"log/slog"
	"net/http"

	"lamplighter/bridge/control"
	"lamplighter/internal/commission"
)

// serveJobs lets other commands look at and steer the jobs of an engine, over the
// control socket of a name. which finds the job that is meant.
func serveJobs[T any](data, name string, acts map[string]func(ctx context.Context, job string) (T, error), which func(job string) (string, error), logger *slog.Logger) (stop func(), err error) {
	mux := http.NewServeMux()
	for act, do := range acts {
		control.Handle(mux, "POST /"+act, func(ctx context.Context, _ *http.Request, job string) (out T, err error) {
			if job, err = which(job); err != nil {
				return out, err
			}
			return do(ctx, job)
		})
	}
	s, err := control.Listen(data, name, mux, logger)
	if err != nil {
		return nil, err
	}
	return func() { s.Close() }, nil
}

// offline does something with an engine that does not reach the network: it reads and
// writes what is stored only.
func offline[T any](ctx context.Context, data string, do func(*commission.Engine) (T, error)) (out T, err error) {
	e, done, err := startEngine(ctx, data, commission.Config{Exchange: nowhere{}})
	if err != nil {
		return out, err
	}
	defer done()
	e.SetLink(false, 0, "")
	return do(e)
}
