package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"lamplighter/bridge/control"
	"lamplighter/internal/ace"
	"lamplighter/internal/coap"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/gm"
	"lamplighter/internal/store"
)

// gmName is the Group Manager's name in tokens and in its credential.
const gmName = "gm"

type gmCmd struct {
	Data      string         `type:"path" required:"" help:"Folder of its state; keys/ in it is shared with the Authorization Server."`
	Listen    netip.AddrPort `default:"127.0.0.1:5691" help:"UDP address for CoAP."`
	DTLS      netip.AddrPort `name:"dtls" placeholder:"ADDRESS" help:"UDP address for CoAP over DTLS, for nodes whose tokens are of the DTLS profile (coap_dtls). Without it there is none; 127.0.0.1:5692 is free for it."`
	AS        netip.AddrPort `name:"as" default:"127.0.0.1:5690" help:"The Authorization Server, whose revocations are followed."`
	Groups    []string       `name:"group" default:"hall-ceiling" help:"Groups to create at the start, by name."`
	Networks  []netip.Prefix `name:"network" default:"127.0.0.0/8" help:"Networks of the devices: a control URI outside of them is not kept."`
	Interface string         `name:"multicast-interface" placeholder:"NAME" help:"Network interface of messages that go to many devices at once; default: the system's choice."`
	metricsFlags
}

// Help is what `lamplighter gm --help` adds.
func (gmCmd) Help() string {
	return "The Group Manager admits devices that hold a token of the Authorization Server, and gives out keys."
}

func (c gmCmd) Run(ctx context.Context, logger *slog.Logger) error {
	meter, stopMeter, err := listenMetrics(c.metricsFlags, gmName, gm.Events)
	if err != nil {
		return err
	}
	defer stopMeter()
	g, err := startGM(ctx, gmOptions{
		data: c.Data, listen: c.Listen, dtls: c.DTLS, as: c.AS, groups: c.Groups, networks: c.Networks,
		multicastInterface: c.Interface, logger: logger, meter: meter,
	})
	if err != nil {
		return err
	}
	defer g.stop()
	fmt.Printf("Group Manager on coap://%s\n", g.addr())
	if g.dtls != nil {
		fmt.Printf("and on coaps://%s\n", g.dtls.Addr())
	}
	<-ctx.Done()
	return nil
}

type gmOptions struct {
	data     string
	listen   netip.AddrPort
	dtls     netip.AddrPort // zero: no DTLS
	groups   []string
	networks []netip.Prefix // of devices; none: loopback
	logger   *slog.Logger
	hooks    gm.Hooks

	multicastInterface string // empty: the system's choice

	as          netip.AddrPort // whose revocations are followed; zero: nobody's
	followEvery time.Duration  // how often it is asked for them; 0: the default

	meter *meter // nil: nobody asks
}

// gmRole is a Group Manager with its store and its socket.
type gmRole struct {
	server   *gm.Server
	identity identity
	store    store.Store
	udp      *endpoint.UDP
	dtls     *endpoint.DTLS // nil: none
	endRun   func()
	reach    reach
	es256    gm.Identity
	control  *control.Server

	tokenKey  ace.TokenKey
	follows   *following // nil: nobody
	endFollow func()     // nil with follows
}

func startGM(ctx context.Context, o gmOptions) (*gmRole, error) {
	id, tokenKey, db, err := openServer(o.data, gmName)
	if err != nil {
		return nil, fmt.Errorf("starting the Group Manager: %w", err)
	}
	role := &gmRole{identity: id, store: db, tokenKey: tokenKey}
	if role.es256, err = loadES256(filepath.Join(o.data, "keys"), gmName, id); err != nil {
		db.Close()
		return nil, fmt.Errorf("starting the Group Manager: %w", err)
	}
	db = o.meter.timed(db)
	role.server, err = gm.New(gm.Config{
		Count: func(e gm.Event) { o.meter.count(string(e)) },
		Store: db, Now: time.Now, Rand: rand.Reader,
		Key: id.key, Credential: id.cred, Audience: gmName, TokenKey: tokenKey, Issuer: asName,
		Logger: o.logger, Hooks: o.hooks, ControlURI: o.reachable, Exchange: &role.reach,
		Identities: []gm.Identity{role.es256}, URI: uriOf(o.listen, ""), AS: uriOf(o.as, "/token"),
	})
	if err == nil {
		err = role.open(ctx, o)
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("starting the Group Manager: %w", err)
	}
	return role, nil
}

// uriOf is the URI of a server's resource; empty when its address does not say how
// clients reach it.
func uriOf(addr netip.AddrPort, path string) string {
	if !addr.IsValid() || addr.Addr().IsUnspecified() || addr.Port() == 0 {
		return ""
	}
	return "coap://" + addr.String() + path
}

func (r *gmRole) open(ctx context.Context, o gmOptions) error {
	for _, name := range o.groups {
		if err := r.server.CreateGroup(ctx, gm.GroupConfig{Name: name}); err != nil {
			return fmt.Errorf("creating group %q: %w", name, err)
		}
	}
	var err error
	r.udp, err = endpoint.ListenUDP(o.listen, r.server.Handler(), endpoint.UDPOptions{Logger: o.logger, Interface: o.multicastInterface})
	if err == nil && o.dtls.IsValid() {
		r.dtls, err = endpoint.ListenDTLS(o.dtls, r.server.SessionHandler(), r.server, endpoint.DTLSOptions{Logger: o.logger})
		if err != nil {
			r.udp.Close()
		}
	}
	if err == nil {
		r.reach.Store(r.udp)
		r.run(ctx, o.logger)
		r.watch(o.meter)
		if o.as.IsValid() {
			r.follow(ctx, o, r.tokenKey)
		}
		if err = r.serveControl(o); err != nil {
			r.halt()
		}
	}
	return err
}

// watch shows what the Group Manager holds.
func (r *gmRole) watch(m *meter) {
	totals := every(time.Minute, func() (gm.Totals, error) { return r.server.Totals(context.Background()) })
	m.gauge("gm_groups", "Groups.", func() float64 { return float64(totals().Groups) })
	m.gauge("gm_members", "Members of all groups.", func() float64 { return float64(totals().Members) })
	m.gauge("gm_largest_group_members", "Members of the largest group.", func() float64 { return float64(totals().Largest) })
	m.gauge("gm_associations", "Associations that have not expired.", func() float64 { return float64(totals().Associations) })
	m.gauge("gm_associations_in_memory", "Associations whose keys are in memory.", func() float64 { return float64(totals().InMemory) })
	m.counter("gm_udp_drops_total", "Datagrams that the system threw away because the socket was full.", drops(r.udp.Drops))
	m.healthy(storeWorks(r.store))
}

// serveControl answers the operator's commands.
func (r *gmRole) serveControl(o gmOptions) (err error) {
	mux := http.NewServeMux()
	serveBackup(mux, r.store, o.data, gmName, o.logger)
	r.serveStatus(mux)
	r.control, err = control.Listen(o.data, gmName, mux, o.logger)
	return err
}

// run has the Group Manager tell members of new keys, and end what has expired,
// until endRun is called.
func (r *gmRole) run(ctx context.Context, logger *slog.Logger) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	r.endRun = func() { cancel(); <-ended }
	go func() {
		defer close(ended)
		if err := r.server.Run(running); err != nil {
			logger.Error("the Group Manager's background work has ended", "err", err)
		}
	}()
}

// reach is the socket as what a Group Manager asks members with: it is there when
// the Group Manager, which answers on it, is.
type reach struct{ atomic.Pointer[endpoint.UDP] }

// Exchange implements [coap.Exchanger].
func (r *reach) Exchange(ctx context.Context, to netip.AddrPort, req *coap.Message) (*coap.Message, error) {
	udp := r.Load()
	if udp == nil {
		return nil, net.ErrClosed
	}
	return udp.Exchange(ctx, to, req)
}

// Multicast implements [coap.Exchanger].
func (r *reach) Multicast(ctx context.Context, to netip.AddrPort, req *coap.Message, wait time.Duration, each func(*coap.Message, netip.AddrPort)) error {
	udp := r.Load()
	if udp == nil {
		return net.ErrClosed
	}
	return udp.Multicast(ctx, to, req, wait, each)
}

func (r *gmRole) addr() netip.AddrPort { return r.udp.Addr() }

func (r *gmRole) stop() {
	r.control.Close()
	r.udp.Drain(drainPatience)
	r.halt()
	r.store.Close()
}

// halt ends what runs and closes the sockets.
func (r *gmRole) halt() {
	if r.endFollow != nil {
		r.endFollow()
	}
	r.endRun()
	if r.dtls != nil {
		r.dtls.Close()
	}
	r.udp.Close()
}

// reachable accepts a control URI that names a device's CoAP port by address.
func (o gmOptions) reachable(_, uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "coap" && u.Scheme != "coaps" {
		return false
	}
	addr, err := netip.ParseAddrPort(u.Host)
	if err != nil || addr.Port() < 1024 {
		return false
	}
	networks := o.networks
	if len(networks) == 0 {
		networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr.Addr()) })
}
