package commission

import "slices"

// maxLog is how many entries a snapshot has.
const maxLog = 500

// Levels of an [Entry].
const (
	levelInfo = "info"
	levelWarn = "warn"
)

// info adds a line for people; it holds no secret.
func (e *Engine) info(device, text string) {
	e.cfg.Logger.Info(text, about(device)...)
	e.entry(Entry{At: e.now(), Level: levelInfo, Device: device, Text: text})
}

// warn is info for what did not go well.
func (e *Engine) warn(device, text string) {
	e.cfg.Logger.Warn(text, about(device)...)
	e.entry(Entry{At: e.now(), Level: levelWarn, Device: device, Text: text})
}

// about names the device that a line is about, if there is one.
func about(device string) []any {
	if device == "" {
		return nil
	}
	return []any{"device", device}
}

func (e *Engine) entry(entry Entry) {
	e.mu.Lock()
	e.log = append(e.log, entry)
	if len(e.log) > maxLog {
		e.log = slices.Delete(e.log, 0, len(e.log)-maxLog)
	}
	e.mu.Unlock()
	e.pub.tell(Event{Type: "log", Log: &entry})
}

// logProblem says what did not work, and why. The chain of errors goes to the
// logger only.
func (e *Engine) logProblem(device, doing string, err error) {
	p := asProblem(err)
	if p.ID == errCanceled.ID {
		return
	}
	e.cfg.Logger.Debug(doing, append(about(device), "problem", p.ID, "err", err)...)
	e.warn(device, doing+": "+p.Text)
}

func newestFirst(log []Entry) []Entry {
	out := append([]Entry{}, log...)
	slices.Reverse(out)
	return out
}
