package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"lamplighter/internal/label"
)

// startInspector serves what a test needs to know without asking the page: the
// lamps' real state, the Group Manager's members, what crossed the bridge; and
// switches for faults. It listens on loopback only.
//
//	GET  /devices                     every lamp's state
//	POST /devices/{id}/power?on=false cuts or restores a lamp's power
//	POST /devices/{id}/fault?kind=…   breaks a lamp, or repairs it: see faultKinds
//	POST /devices/{id}/press?button=n presses a switch's button
//	POST /devices/{id}/occupied?on=   moves in front of a sensor, or does not
//	POST /devices/{id}/settings?name=…&value=…  changes a setting behind the site's back
//	GET  /groups/{name}               members as the Group Manager has them
//	POST /gm?on=false, /as?on=false   ends or restarts a server
//	POST /bridge?on=false             ends or restarts the bridge
//	GET  /traffic                     what crossed the bridge unprotected, and secrets seen in it
func (d *demo) startInspector(context.Context) error {
	if d.cmd.Inspect == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(d.cmd.Inspect)
	if err != nil {
		return fmt.Errorf("reading --inspect: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return errors.New("--inspect must be a loopback address: it needs no sign-in")
	}
	listener, err := net.Listen("tcp", d.cmd.Inspect)
	if err != nil {
		return fmt.Errorf("opening the inspection address: %w", err)
	}
	fmt.Printf("Inspection on http://%s\n", listener.Addr())
	server := &http.Server{Handler: d.inspector(), ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener)
	d.stops = append(d.stops, func() { server.Close() })
	return nil
}

func (d *demo) inspector() http.Handler {
	mux := http.NewServeMux()
	get := func(pattern string, f func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := f(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(v)
		})
	}
	get("GET /devices", func(*http.Request) (any, error) { return d.lampStates(), nil })
	get("GET /groups/{name}", func(r *http.Request) (any, error) { return d.members(r.Context(), r.PathValue("name")) })
	get("GET /traffic", func(*http.Request) (any, error) { return d.tap.report(), nil })
	get("POST /devices/{id}/power", func(r *http.Request) (any, error) { return "ok", d.power(r) })
	get("POST /devices/{id}/fault", func(r *http.Request) (any, error) { return "ok", d.fault(r) })
	get("POST /devices/{id}/press", func(r *http.Request) (any, error) { return "ok", d.press(r) })
	get("POST /devices/{id}/occupied", func(r *http.Request) (any, error) { return "ok", d.occupied(r) })
	get("POST /devices/{id}/settings", func(r *http.Request) (any, error) { return "ok", d.drift(r) })
	get("POST /gm", func(r *http.Request) (any, error) { return "ok", d.switchGM(r) })
	get("POST /as", func(r *http.Request) (any, error) { return "ok", d.switchAS(r) })
	get("POST /bridge", func(r *http.Request) (any, error) { return "ok", d.switchBridge(r) })
	return mux
}

func (d *demo) lampStates() []lampState {
	var list []lampState
	for _, l := range d.lamps.lamps {
		list = append(list, l.state())
	}
	return list
}

type memberState struct {
	Node     string `json:"node"`
	Subject  string `json:"subject"`
	SenderID string `json:"senderId"`
	Roles    uint   `json:"roles"`
}

func (d *demo) members(ctx context.Context, name string) ([]memberState, error) {
	members, err := d.gm.server.Members(ctx, name)
	if err != nil {
		return nil, err
	}
	list := []memberState{}
	for _, m := range members {
		list = append(list, memberState{m.Node, m.Subject, hex.EncodeToString(m.SenderID), uint(m.Roles)})
	}
	return list, nil
}

func wanted(r *http.Request) (bool, error) {
	on, err := strconv.ParseBool(r.URL.Query().Get("on"))
	if err != nil {
		return false, errors.New("say ?on=true or ?on=false")
	}
	return on, nil
}

// lamp is the one that a request names.
func (d *demo) lamp(r *http.Request) (*lamp, error) {
	for _, l := range d.lamps.lamps {
		if label.FormatID(l.config.ID) == r.PathValue("id") {
			return l, nil
		}
	}
	return nil, errors.New("there is no such lamp")
}

func (d *demo) power(r *http.Request) error {
	on, err := wanted(r)
	if err != nil {
		return err
	}
	l, err := d.lamp(r)
	if err != nil {
		return err
	}
	if on {
		return l.powerOn()
	}
	l.powerOff()
	return nil
}

func (d *demo) fault(r *http.Request) error {
	l, err := d.lamp(r)
	if err != nil {
		return err
	}
	return l.fault(r)
}

func (d *demo) switchGM(r *http.Request) error {
	on, err := wanted(r)
	if err != nil {
		return err
	}
	d.gm.stop()
	if !on {
		return nil
	}
	started, err := startGM(context.WithoutCancel(r.Context()), gmOptions{data: d.cmd.Data, listen: d.slot.gm, as: d.slot.as, groups: d.cmd.Groups, logger: d.logger})
	if err == nil {
		d.gm = started
	}
	return err
}

func (d *demo) switchAS(r *http.Request) error {
	on, err := wanted(r)
	if err != nil {
		return err
	}
	d.as.stop()
	if !on {
		return nil
	}
	started, err := startAS(asOptions{data: d.cmd.Data, listen: d.slot.as, logger: d.logger})
	if err == nil {
		d.as = started
	}
	return err
}

// switchBridge keeps the address: the page comes back to the same place.
func (d *demo) switchBridge(r *http.Request) error {
	on, err := wanted(r)
	if err != nil {
		return err
	}
	d.bridge.stop()
	if !on {
		return nil
	}
	started, err := startBridge(d.bridgeOptions)
	if err == nil {
		d.bridge = started
	}
	return err
}
