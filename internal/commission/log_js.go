package commission

// Logger is where an engine writes what is for developers; *slog.Logger is one.
// In a browser it is an interface, because nobody reads a log there, and log/slog
// alone would be a fiftieth of the program that the page has to load.
type Logger interface {
	Debug(msg string, args ...any)
	Info(msg string, args ...any)
	Warn(msg string, args ...any)
}

type noLogger struct{}

func (noLogger) Debug(string, ...any) {}
func (noLogger) Info(string, ...any)  {}
func (noLogger) Warn(string, ...any)  {}

func silence() Logger { return noLogger{} }
