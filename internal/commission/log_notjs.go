//go:build !js

package commission

import "log/slog"

// Logger is where an engine writes what is for developers.
type Logger = *slog.Logger

func silence() Logger { return slog.New(slog.DiscardHandler) }
