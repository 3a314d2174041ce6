package commission

// Error is a [Problem] as an error.
type Error struct {
	Problem
	cause error
}

func (e *Error) Error() string { return e.Text + " " + e.Next }

// Unwrap gives the error below.
func (e *Error) Unwrap() error { return e.cause }
