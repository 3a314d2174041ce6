// Package control is how an operator's commands talk to a running server: HTTP
// with JSON over a Unix socket in the server's data folder. Who may open the
// socket owns the folder, and with it every key of the server; nobody else is
// let near, and nothing is reachable from a network.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
)

// maxBody is how much of a JSON body is read, in bytes.
const maxBody = 1 << 20

// Folder is where the sockets are, within the data folder.
const Folder = "control"

// socketFile is the socket of a role such as "as".
func socketFile(data, role string) string { return filepath.Join(data, Folder, role+".sock") }

// Error is an answer that is no success, with the sentence that says why.
type Error struct {
	Status int // of HTTP
	Text   string
}

func (e *Error) Error() string { return e.Text }

// Refuse makes the error of a command that cannot be followed: a sentence for
// the operator. Any other error of a handler is told as well, for it is the
// operator who asks, but as the server's failure.
func Refuse(format string, args ...any) error {
	return &Error{http.StatusUnprocessableEntity, fmt.Errorf(format, args...).Error()}
}

// ErrNotRunning says that nobody listens.
var ErrNotRunning = errors.New("it does not run")

// Handle serves pattern, such as "POST /people", with a function from one JSON
// value to another. A request without a body gives the zero In.
func Handle[In, Out any](mux *http.ServeMux, pattern string, fn func(ctx context.Context, r *http.Request, in In) (Out, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var in In
		body := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		body.DisallowUnknownFields()
		if err := body.Decode(&in); err != nil && !errors.Is(err, io.EOF) {
			answerError(w, &Error{http.StatusBadRequest, "the request is malformed: is the running server of another version?"})
			return
		}
		out, err := fn(r.Context(), r, in)
		if err != nil {
			answerError(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out) // the command was interrupted: nobody to tell
	})
}

type failure struct {
	Error string `json:"error"`
}

func answerError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var known *Error
	if errors.As(err, &known) {
		status = known.Status
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(failure{err.Error()})
}
