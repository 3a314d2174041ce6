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
}

// serveStatus adds the command that asks for it.
func (r *gmRole) serveStatus(mux *http.ServeMux) {
	since := time.Now()
	control.Handle(mux, "GET /status", func(context.Context, *http.Request, struct{}) (gmStatus, error) {
		return gmStatus{Version: version, Address: r.addr().String(), Since: since.Unix()}, nil
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
	_, err := fmt.Fprintf(out, "Group Manager %s on coap://%s since %s\n", s.Version, s.Address, time.Unix(s.Since, 0).Format("2006-01-02 15:04:05"))
	return err
}
