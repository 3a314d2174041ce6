package commission

import (
	"context"
	"log/slog"
	"slices"
)

// maxLog is how many entries a snapshot has.
const maxLog = 500

// logEntry adds a line for people. text holds no secret.
func (e *Engine) logEntry(level slog.Level, device, text string) {
	name := map[slog.Level]string{slog.LevelInfo: "info", slog.LevelWarn: "warn", slog.LevelError: "error"}[level]
	entry := Entry{At: e.now(), Level: name, Device: device, Text: text}
	e.mu.Lock()
	e.log = append(e.log, entry)
	if len(e.log) > maxLog {
		e.log = slices.Delete(e.log, 0, len(e.log)-maxLog)
	}
	e.mu.Unlock()
	e.cfg.Logger.Log(context.Background(), level, text, "device", device)
	e.pub.tell(Event{Type: "log", Log: &entry})
}

func (e *Engine) info(device, text string) { e.logEntry(slog.LevelInfo, device, text) }
func (e *Engine) warn(device, text string) { e.logEntry(slog.LevelWarn, device, text) }

// logProblem says what did not work, and why. The chain of errors goes to the
// logger only.
func (e *Engine) logProblem(device, doing string, err error) {
	p := asProblem(err)
	if p.ID == errCanceled.ID {
		return
	}
	e.cfg.Logger.Debug(doing, "device", device, "problem", p.ID, "err", err)
	e.logEntry(slog.LevelWarn, device, doing+": "+p.Text)
}

func newestFirst(log []Entry) []Entry {
	out := append([]Entry{}, log...)
	slices.Reverse(out)
	return out
}
