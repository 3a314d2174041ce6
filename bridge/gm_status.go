package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"lamplighter/bridge/control"
)

// gmStatus is what a running Group Manager says of itself.
type gmStatus struct {
	Version string `json:"version"`
	Address string `json:"address"`
	Since   int64  `json:"since"` // seconds since 1970

	Follows *followStatus `json:"follows,omitempty"` // nil: it follows no Authorization Server
}

// serveStatus adds the command that asks for it.
func (r *gmRole) serveStatus(mux *http.ServeMux) {
	since := time.Now()
	control.Handle(mux, "GET /status", func(context.Context, *http.Request, struct{}) (gmStatus, error) {
		return gmStatus{Version: version, Address: r.addr().String(), Since: since.Unix(), Follows: r.follows.status()}, nil
	})
}

// atGM is what the commands to a running Group Manager have alike.
type atGM struct {
	Data string `type:"path" required:"" env:"LAMPLIGHTER_DATA" placeholder:"DIR" help:"Data folder of the running Group Manager, or of the demo. Also in the environment as LAMPLIGHTER_DATA."`
}

// notRunning makes an error of a command a sentence with the next step.
func (at atGM) notRunning(err error) error {
	if errors.Is(err, control.ErrNotRunning) {
		return fmt.Errorf("no Group Manager runs with the data folder %s; start it with: lamplighter gm --data %s", at.Data, at.Data)
	}
	return err
}

type gmStatusCmd struct {
	atGM
}

func (c gmStatusCmd) Run(ctx context.Context) error {
	s, err := control.Call[gmStatus](ctx, c.Data, gmName, "GET", "/status", nil)
	if err != nil {
		return c.notRunning(err)
	}
	return s.print(os.Stdout)
}

func (s gmStatus) print(out io.Writer) error {
	_, err := fmt.Fprintf(out, "Group Manager %s on coap://%s since %s\n%s\n", s.Version, s.Address, moment(s.Since), s.Follows)
	return err
}

// moment is a time in seconds since 1970 as a person reads it.
func moment(at int64) string { return time.Unix(at, 0).Format("2006-01-02 15:04:05") }

// String says in a sentence how the revocations are followed.
func (f *followStatus) String() string {
	switch {
	case f == nil:
		return "It follows the revocations of no Authorization Server."
	case f.Heard == 0:
		return "It has not heard of coap://" + f.AS + ", whose revocations it follows."
	}
	return fmt.Sprintf("Revocations of coap://%s: last heard %s, %d tokens and %d people", f.AS, moment(f.Heard), f.Tokens, f.People)
}
