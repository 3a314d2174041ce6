package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var silent = slog.New(slog.DiscardHandler)

type greeting struct {
	Name string `json:"name"`
}

func greeter() http.Handler {
	mux := http.NewServeMux()
	Handle(mux, "POST /greet", func(_ context.Context, _ *http.Request, in greeting) (string, error) {
		switch in.Name {
		case "":
			return "", Refuse("whom shall I greet?")
		case "broken":
			return "", fmt.Errorf("greeting: %w", io.ErrUnexpectedEOF)
		}
		return "hello " + in.Name, nil
	})
	return mux
}

func serve(t *testing.T, data string) *Server {
	t.Helper()
	s, err := Listen(data, "as", greeter(), silent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func greet(t *testing.T, data, name string) (string, error) {
	return Call[string](t.Context(), data, "as", "POST", "/greet", greeting{name})
}

// TestCall: values go there and back, and an error arrives as its sentence.
func TestCall(t *testing.T) {
	data := t.TempDir()
	serve(t, data)
	if got, err := greet(t, data, "Ann"); err != nil || got != "hello Ann" {
		t.Error(got, err)
	}
	var known *Error
	if _, err := greet(t, data, ""); !errors.As(err, &known) || known.Status != 422 || err.Error() != "whom shall I greet?" {
		t.Error("refused:", err)
	}
	if _, err := Call[string](t.Context(), data, "as", "POST", "/greet", nil); !errors.As(err, &known) || known.Status != 422 {
		t.Error("without a body:", err)
	}
	if _, err := greet(t, data, "broken"); !errors.As(err, &known) || known.Status != 500 || err.Error() != "greeting: unexpected EOF" {
		t.Error("broken:", err)
	}
	if _, err := Call[string](t.Context(), data, "as", "POST", "/greet", map[string]int{"age": 7}); !errors.As(err, &known) || known.Status != 400 {
		t.Error("an unknown field:", err)
	}
	if _, err := Call[string](t.Context(), data, "as", "POST", "/dance", nil); !errors.As(err, &known) || known.Status != 404 || !strings.Contains(err.Error(), "another version") {
		t.Error("an unknown command:", err)
	}
	if _, err := Call[int](t.Context(), data, "as", "POST", "/greet", greeting{"Ann"}); err == nil {
		t.Error("a word is read as a number")
	}
}

// TestNotRunning: a server that is absent, and one that was killed, do not run.
// The next one takes the place of the killed one, but not of a living one.
func TestNotRunning(t *testing.T) {
	data := t.TempDir()
	if _, err := greet(t, data, "Ann"); !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), data) {
		t.Error("nobody ever ran:", err)
	}
	if err := os.Mkdir(filepath.Join(data, Folder), 0o755); err != nil {
		t.Fatal(err)
	}
	left, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: socketFile(data, "as")})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	if _, err := greet(t, data, "Ann"); !errors.Is(err, ErrNotRunning) {
		t.Error("it was killed:", err)
	}
	s := serve(t, data)
	if _, err := greet(t, data, "Ann"); err != nil {
		t.Error("after a restart:", err)
	}
	if second, err := Listen(data, "as", greeter(), silent); err == nil {
		second.Close()
		t.Error("two servers of a role run with one data folder")
	}
	if _, err := greet(t, data, "Ann"); err != nil {
		t.Error("after a second one tried:", err)
	}
	if _, err := Call[string](t.Context(), data, "gm", "POST", "/greet", nil); !errors.Is(err, ErrNotRunning) {
		t.Error("another role:", err)
	}
	s.Close()
	if _, err := os.Lstat(socketFile(data, "as")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a stop in order leaves the socket behind:", err)
	}
	if _, err := greet(t, data, "Ann"); !errors.Is(err, ErrNotRunning) {
		t.Error("it was stopped:", err)
	}
}

// TestOwnerOnly: neither the socket nor its folder opens for anybody else, the
// folder not even if it was there before with a wider mode.
func TestOwnerOnly(t *testing.T) {
	data := t.TempDir()
	if err := os.Mkdir(filepath.Join(data, Folder), 0o777); err != nil {
		t.Fatal(err)
	}
	serve(t, data)
	for file, want := range map[string]os.FileMode{filepath.Join(data, Folder): 0o700, socketFile(data, "as"): 0o600} {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
}

// TestLongPath: a data folder may lie deeper than a socket's address is long.
func TestLongPath(t *testing.T) {
	data := filepath.Join(t.TempDir(), strings.Repeat("d", 100), strings.Repeat("e", 100))
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	serve(t, data)
	if got, err := greet(t, data, "Ann"); err != nil || got != "hello Ann" {
		t.Error(got, err)
	}
}

// TestCloseWaits: a command that is under way ends with its answer.
func TestCloseWaits(t *testing.T) {
	data := t.TempDir()
	begun := make(chan struct{})
	mux := http.NewServeMux()
	Handle(mux, "POST /slow", func(context.Context, *http.Request, struct{}) (string, error) {
		close(begun)
		time.Sleep(100 * time.Millisecond)
		return "done", nil
	})
	s, err := Listen(data, "as", mux, silent)
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	go func() {
		got, err := Call[string](context.Background(), data, "as", "POST", "/slow", nil)
		if err == nil && got != "done" {
			err = errors.New(got)
		}
		answer <- err
	}()
	<-begun
	s.Close()
	if err := <-answer; err != nil {
		t.Error(err)
	}
}
