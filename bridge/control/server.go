package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Server serves one role's commands until it is closed.
type Server struct {
	http *http.Server
	done chan struct{}
}

// Listen serves h to the commands that name the data folder and the role. A
// socket that a killed server left behind is replaced; one that somebody
// listens on is not.
func Listen(data, role string, h http.Handler, logger *slog.Logger) (*Server, error) {
	listener, err := listen(data, role)
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	s := &Server{
		http: &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn)},
		done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("the control socket has failed", "role", role, "err", err)
		}
	}()
	return s, nil
}

// listen opens the socket in a folder of the owner's alone: a socket's own mode
// is set only after it exists.
func listen(data, role string) (net.Listener, error) {
	folder := filepath.Join(data, Folder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		return nil, err
	}
	if conn, err := dial(context.Background(), data, role); err == nil {
		conn.Close()
		return nil, fmt.Errorf("another %q runs with the data folder %s", role, data)
	}
	file := socketFile(data, role)
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	address, free, err := shortPath(file)
	if err != nil {
		return nil, err
	}
	defer free()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: address})
	if err != nil {
		return nil, err
	}
	// The short name is gone at the end; and an end by force leaves the socket
	// too, so the next start has to deal with one that is left in any case.
	listener.SetUnlinkOnClose(false)
	if err := os.Chmod(file, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return &owned{listener, file}, nil
}

// owned takes its socket away when it is closed.
type owned struct {
	*net.UnixListener
	file string
}

func (l *owned) Close() error {
	return errors.Join(os.Remove(l.file), l.UnixListener.Close())
}

// closePatience is how long a command that is under way may go on.
const closePatience = 5 * time.Second

// Close waits a little for the commands that are under way and ends the rest.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.done
	return err
}
