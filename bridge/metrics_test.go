package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"lamplighter/internal/gm"
	"lamplighter/internal/store"
)

func scrape(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(text)
}

func wantMetric(t *testing.T, text, line string) {
	t.Helper()
	if !strings.Contains(text, "\n"+line+"\n") {
		t.Errorf("%q is not told", line)
	}
}

// A Group Manager tells what it holds and counts, and whether it works.
func TestMetrics(t *testing.T) {
	m := newMeter(gmName, gm.Events)
	if code, _ := scrape(t, m.handler(), "/healthz"); code != http.StatusServiceUnavailable {
		t.Errorf("healthy before the start: %d", code)
	}
	g, err := startGM(t.Context(), gmOptions{
		data: t.TempDir(), listen: netip.MustParseAddrPort("127.0.0.1:0"), groups: []string{"hall", "stage"},
		logger: slog.New(slog.DiscardHandler), meter: m,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer g.stop()
	if err := g.server.Rekey(t.Context(), "hall", ""); err != nil {
		t.Fatal(err)
	}
	code, text := scrape(t, m.handler(), "/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, text)
	}
	wantMetric(t, text, `lamplighter_gm_events_total{event="rekey"} 1`)
	wantMetric(t, text, `lamplighter_gm_events_total{event="join"} 0`)
	wantMetric(t, text, "lamplighter_gm_groups 2")
	wantMetric(t, text, "lamplighter_gm_members 0")
	if !strings.Contains(text, `lamplighter_gm_commit_seconds_count{result="ok"}`) || strings.Contains(text, "hall") {
		t.Errorf("commits are not told, or a group's name is:\n%s", text)
	}
	if code, text := scrape(t, m.handler(), "/healthz"); code != http.StatusOK || text != "ok\n" {
		t.Errorf("healthy: %d %q", code, text)
	}
	if code, _ := scrape(t, m.handler(), "/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("something else is served: %d", code)
	}
	m.healthy(func(context.Context) error { return errors.New("the disk is gone") })
	if code, text := scrape(t, m.handler(), "/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "the disk is gone") {
		t.Errorf("ill: %d %q", code, text)
	}
}

// A change that its maker gave up is no failure of the store.
func TestTimedStore(t *testing.T) {
	m := newMeter("gm", gm.Events)
	s := m.timed(store.NewMemory())
	no := errors.New("no")
	_ = s.Update(t.Context(), func(store.Tx) error { return nil })
	_ = s.Update(t.Context(), func(store.Tx) error { return no })
	s.Close()
	_ = s.Update(t.Context(), func(store.Tx) error { return nil })
	_, text := scrape(t, m.handler(), "/metrics")
	for _, result := range []string{"ok", "refused", "failed"} {
		wantMetric(t, text, `lamplighter_gm_commit_seconds_count{result="`+result+`"} 1`)
	}
	var none *meter
	none.count("join")
	if inner := store.NewMemory(); none.timed(inner) != inner {
		t.Error("a store is timed for nobody")
	}
}
