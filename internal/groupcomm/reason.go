package groupcomm

import "fmt"

// Reason is why a device does not take part or has failed, or why all stop: a stable
// id, a sentence, and what to do next.
type Reason struct {
	ID   string `cbor:"1,keyasint"`
	Text string `cbor:"2,keyasint"`
	Next string `cbor:"3,keyasint,omitempty"`
}

func (r *Reason) Error() string {
	if r.Next == "" {
		return r.Text
	}
	return r.Text + " " + r.Next
}

// With returns r with a sentence behind its text.
func (r *Reason) With(format string, a ...any) *Reason {
	c := *r
	c.Text += " " + fmt.Sprintf(format, a...)
	return &c
}
