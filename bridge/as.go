package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"lamplighter/bridge/access"
	"lamplighter/bridge/control"
	"lamplighter/internal/ace"
	"lamplighter/internal/as"
	"lamplighter/internal/commission"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/store"
)

// asName is the Authorization Server's name in tokens and in its credential.
const asName = "as"

type asCmd struct {
	Data      string         `type:"path" required:"" help:"Folder of its state; keys/ in it is shared with the Group Manager, access/ with the bridge."`
	Listen    netip.AddrPort `default:"127.0.0.1:5690" help:"UDP address for CoAP."`
	Bridge    string         `default:"http://127.0.0.1:8080" help:"For invitation links: the bridge's address as browsers see it."`
	GM        netip.AddrPort `name:"gm" default:"127.0.0.1:5691" help:"For invitation links: the Group Manager's address."`
	Multicast netip.AddrPort `default:"224.0.1.187:5683" help:"For invitation links: the groups' multicast address."`
	Site      string         `default:"Site" help:"For invitation links: the name of the site."`
	metricsFlags
}

// Help is what `lamplighter as --help` adds.
func (asCmd) Help() string {
	return "The Authorization Server knows people and devices, and issues the tokens with which they join groups.\n" +
		"Run it, the Group Manager and the bridge with the same --data: they share the token key and the list of who may use the bridge.\n" +
		"Let people in with lamplighter invite."
}

func (c asCmd) Run(ctx context.Context, logger *slog.Logger) error {
	gm, err := loadIdentity(filepath.Join(c.Data, "keys"), gmName)
	if err != nil {
		return err
	}
	meter, stopMeter, err := listenMetrics(c.metricsFlags, asName, as.Events)
	if err != nil {
		return err
	}
	defer stopMeter()
	a, err := startAS(asOptions{data: c.Data, listen: c.Listen, logger: logger, meter: meter})
	if err != nil {
		return err
	}
	defer a.stop()
	site := siteInfo{origin: c.Bridge, name: c.Site, gm: c.GM, gmCred: gm.cred, multicast: c.Multicast}
	if err := a.serveControl(c.Data, site); err != nil {
		return err
	}
	fmt.Printf("Authorization Server on coap://%s\n", a.addr())
	<-ctx.Done()
	return nil
}

type asOptions struct {
	data   string
	listen netip.AddrPort
	logger *slog.Logger
	meter  *meter // nil: nobody asks
}

// asRole is an Authorization Server with its store and its socket.
type asRole struct {
	server   *as.Server
	identity identity
	store    store.Store
	udp      *endpoint.UDP
	control  *control.Server // nil until serveControl
	logger   *slog.Logger
	endRun   func()
}

func startAS(o asOptions) (*asRole, error) {
	id, tokenKey, db, err := openServer(o.data, asName)
	if err != nil {
		return nil, fmt.Errorf("starting the Authorization Server: %w", err)
	}
	role := &asRole{identity: id, store: db, logger: o.logger}
	door, err := access.Open(o.data, time.Now)
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("starting the Authorization Server: %w", err)
	}
	db = o.meter.timed(db)
	role.server, err = as.New(as.Config{
		Count: func(e as.Event) { o.meter.count(string(e)) },
		Store: db, Now: time.Now, Rand: rand.Reader, Key: id.key, Issuer: asName,
		GMs: map[string]ace.TokenKey{gmName: tokenKey}, Policy: as.AllGroups(), Logger: o.logger, Access: door,
		Audiences: map[string]as.Audience{gmName: {Profiles: []int{ace.ProfileOSCORE, ace.ProfileDTLS}}},
	})
	if err == nil {
		role.udp, err = endpoint.ListenUDP(o.listen, role.server.Handler(), endpoint.UDPOptions{Logger: o.logger})
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("starting the Authorization Server: %w", err)
	}
	role.run()
	o.meter.counter("as_udp_drops_total", "Datagrams that the system threw away because the socket was full.", drops(role.udp.Drops))
	o.meter.healthy(storeWorks(db))
	return role, nil
}

// run has the Authorization Server forget what has expired, until endRun is called.
func (r *asRole) run() {
	running, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	r.endRun = func() { cancel(); <-ended }
	go func() {
		defer close(ended)
		r.server.Run(running)
	}()
}

// invite makes an invitation with what the Authorization Server knows of it.
func (r *asRole) invite(ctx context.Context, in inviteRequest) (commission.Invitation, time.Time, error) {
	made, err := r.server.InvitePerson(ctx, as.InviteParams{
		Name: in.Name, Role: as.Role(in.Role), Groups: in.Groups, Expires: time.Duration(in.Seconds) * time.Second,
		Site: in.Site, With: in.With,
	})
	if err != nil {
		return commission.Invitation{}, time.Time{}, fmt.Errorf("making the invitation: %w", err)
	}
	return commission.Invitation{
		AccessCode: made.Code, ID: []byte(made.ID), Secret: made.Secret,
		ASAddress: r.addr().String(), ASCred: r.server.Credential(), Installer: in.Name,
	}, made.Expires, nil
}

func (r *asRole) addr() netip.AddrPort { return r.udp.Addr() }

func (r *asRole) stop() {
	if r.control != nil {
		r.control.Close()
	}
	r.udp.Drain(drainPatience)
	r.endRun()
	r.udp.Close()
	r.store.Close()
}
