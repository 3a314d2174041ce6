package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"lamplighter/internal/store"
)

// meter counts what one server does, for Prometheus. A nil meter counts nothing.
// No label names a group, a person or a device: a site may have thousands.
type meter struct {
	registry *prometheus.Registry
	events   *prometheus.CounterVec
	commits  *prometheus.HistogramVec

	mu     sync.Mutex
	health func(context.Context) error // nil: not started yet
}

// newMeter makes the meter of a role; the events are there from the start, so that
// a rate of one that has not happened is 0.
func newMeter[E ~string](role string, events []E) *meter {
	m := &meter{
		registry: prometheus.NewRegistry(),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lamplighter_" + role + "_events_total", Help: "What has happened, by kind.",
		}, []string{"event"}),
		commits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lamplighter_" + role + "_commit_seconds", Help: "How long a change took to become durable.",
			Buckets: []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 5},
		}, []string{"result"}),
	}
	m.registry.MustRegister(m.events, m.commits, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "lamplighter_build_info", Help: "1, with the version.", ConstLabels: prometheus.Labels{"version": version, "role": role},
		}, func() float64 { return 1 }))
	for _, e := range events {
		m.events.WithLabelValues(string(e))
	}
	return m
}

func (m *meter) count(event string) {
	if m != nil {
		m.events.WithLabelValues(event).Inc()
	}
}

// gauge adds a value that is asked for at each scrape.
func (m *meter) gauge(name, help string, value func() float64) {
	if m != nil {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "lamplighter_" + name, Help: help}, value))
	}
}

// counter adds a total that somebody else counts.
func (m *meter) counter(name, help string, value func() float64) {
	if m != nil {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "lamplighter_" + name, Help: help}, value))
	}
}

// healthy says how to find out whether the server works.
func (m *meter) healthy(check func(context.Context) error) {
	if m != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.health = check
	}
}

// timed measures the commits of a store.
func (m *meter) timed(s store.Store) store.Store {
	if m == nil {
		return s
	}
	return timedStore{s, m}
}

type timedStore struct {
	store.Store
	m *meter
}

// Update implements [store.Store].
func (s timedStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	start := time.Now()
	var refused error // by fn itself, which is no failure of the store
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		refused = fn(tx)
		return refused
	})
	result := "ok"
	if err != nil && err == refused { //nolint:errorlint // the very same
		result = "refused"
	} else if err != nil {
		result = "failed"
	}
	s.m.commits.WithLabelValues(result).Observe(time.Since(start).Seconds())
	return err
}

// storeWorks is the health of a server with a store: it can be read.
func storeWorks(s store.Store) func(context.Context) error {
	return func(ctx context.Context) error {
		return s.View(ctx, func(tx store.Tx) error {
			_, err := tx.Get("format")
			return err
		})
	}
}

// drops is how many datagrams the system threw away for a socket.
func drops(ask func() (uint64, error)) func() float64 {
	return func() float64 {
		n, err := ask()
		if err != nil {
			return 0 // this system does not count them
		}
		return float64(n)
	}
}

// every remembers a costly value for a while.
func every[T any](d time.Duration, ask func() (T, error)) func() T {
	var mu sync.Mutex
	var last T
	var at time.Time
	return func() T {
		mu.Lock()
		defer mu.Unlock()
		if at.IsZero() || time.Since(at) >= d {
			if v, err := ask(); err == nil {
				last, at = v, time.Now()
			}
		}
		return last
	}
}

// handler serves /metrics and /healthz.
func (m *meter) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		check := m.health
		m.mu.Unlock()
		if check == nil {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if err := check(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// metricsFlags are the flag of the servers that can be watched.
type metricsFlags struct {
	Metrics string `placeholder:"ADDR" help:"HTTP address of /metrics, for Prometheus, and /healthz, such as 127.0.0.1:9090. There is no sign-in: keep it on loopback or in a network of its own. Default: none."`
}

// listen starts a meter's listener; without an address there is no meter.
func listenMetrics[E ~string](f metricsFlags, role string, events []E) (m *meter, stop func(), err error) {
	if f.Metrics == "" {
		return nil, func() {}, nil
	}
	listener, err := net.Listen("tcp", f.Metrics)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the address of the metrics: %w", err)
	}
	m = newMeter(role, events)
	server := &http.Server{Handler: m.handler(), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	return m, func() {
		_ = errors.Join(server.Close(), listener.Close())
		<-done
	}, nil
}
