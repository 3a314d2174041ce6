package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"lamplighter/bridge/access"
	"lamplighter/bridge/proxy"
	"lamplighter/web"
)

type bridgeCmd struct {
	Data      string           `type:"path" required:"" help:"Folder of its state, shared with the Authorization Server: who may use the bridge, and the key of its sessions."`
	Listen    string           `default:"127.0.0.1:8080" help:"HTTP address for the page and for CoAP over WebSockets."`
	Origins   []string         `name:"origin" help:"Origins that browsers may come from, such as https://lights.example; default: loopback only."`
	Targets   []netip.Prefix   `name:"target" default:"127.0.0.0/8" help:"Networks that may be addressed."`
	Ports     []portRange      `name:"port" default:"1024-65535" help:"Ports that may be addressed, such as 5683 or 5683-5699."`
	Groups    []netip.AddrPort `name:"multicast" default:"224.0.1.187:5683" help:"Multicast groups that may be addressed."`
	Interface string           `default:"lo" help:"Network interface of multicast traffic."`
	Rate      float64          `name:"multicast-rate" default:"5e6" placeholder:"BIT/S" help:"Bits a second of multicast towards the devices, all browsers together; 0: no limit. Below what the slowest part of the network carries, multicast is not lost in its queues."`
	tlsFlags
	metricsFlags
}

// tlsFlags are the two flags without which a page outside of localhost has no
// secure context, and will not start.
type tlsFlags struct {
	TLSCert string `name:"tls-cert" type:"existingfile" placeholder:"FILE" help:"Serve HTTPS with this certificate (PEM)."`
	TLSKey  string `name:"tls-key" type:"existingfile" placeholder:"FILE" help:"The certificate's private key (PEM)."`
}

// Help is what `lamplighter bridge --help` adds.
func (bridgeCmd) Help() string {
	return "Browsers need a secure context: http works on localhost only, everywhere else give --tls-cert, --tls-key and --origin."
}

func (c bridgeCmd) Run(ctx context.Context, logger *slog.Logger) error {
	if c.Rate < 0 {
		return errors.New("--multicast-rate is a number of bits a second, such as 2e6, or 0 for no limit")
	}
	meter, stopMeter, err := listenMetrics(c.metricsFlags, "bridge", []string(nil))
	if err != nil {
		return err
	}
	defer stopMeter()
	b, err := startBridge(bridgeOptions{
		data: c.Data, listen: c.Listen, tls: c.tlsFlags, logger: logger,
		config: proxy.Config{
			Origins: c.Origins, Targets: c.Targets, Ports: ranges(c.Ports),
			MulticastGroups: c.Groups, MulticastInterface: c.Interface, MulticastBits: c.Rate,
		},
	})
	if err != nil {
		return err
	}
	defer b.stop()
	b.measure(meter)
	meter.healthy(func(context.Context) error { return nil }) // it listens, and holds nothing
	fmt.Printf("Bridge on %s\n", b.url())
	select {
	case <-ctx.Done():
		return nil
	case err := <-b.failed:
		return err
	}
}

// portRange is the first and the last of some ports.
type portRange [2]uint16

// UnmarshalText reads "5683" or "5683-5699".
func (r *portRange) UnmarshalText(text []byte) error {
	first, last, isRange := strings.Cut(string(text), "-")
	if !isRange {
		last = first
	}
	for i, s := range []string{first, last} {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%q is no port and no range of ports such as 5683-5699", text)
		}
		r[i] = uint16(n)
	}
	if r[0] > r[1] {
		return fmt.Errorf("%q ends before it begins", text)
	}
	return nil
}

func ranges(ports []portRange) (list [][2]uint16) {
	for _, r := range ports {
		list = append(list, r)
	}
	return list
}

type bridgeOptions struct {
	data   string
	listen string
	tls    tlsFlags
	config proxy.Config
	logger *slog.Logger
}

// bridgeRole is a bridge with its HTTP server.
type bridgeRole struct {
	proxy    *proxy.Server
	http     *http.Server
	listener net.Listener
	scheme   string
	failed   chan error
	shut     context.CancelFunc // ends following who may use it
}

func startBridge(o bridgeOptions) (*bridgeRole, error) {
	if (o.tls.TLSCert == "") != (o.tls.TLSKey == "") {
		return nil, errors.New("--tls-cert and --tls-key belong together: give both or none")
	}
	session, err := secretFile(filepath.Join(o.data, "keys", "session.key"), 32)
	if err != nil {
		return nil, err
	}
	b := &bridgeRole{scheme: "http", failed: make(chan error, 1)}
	if o.tls.TLSCert != "" {
		b.scheme = "https"
	}
	config := o.config
	d := &door{logger: o.logger, reader: access.NewReader(o.data)}
	config.Access, _ = d.list()
	config.Unknown = d.look
	config.SessionKey = session
	config.Page, config.Policy, config.Immutable = web.Page(), web.Policy, web.Immutable
	config.Logger = o.logger
	if len(config.Ports) == 0 {
		config.Ports = [][2]uint16{{1024, 65535}}
	}
	if b.proxy, err = proxy.New(config); err != nil {
		return nil, fmt.Errorf("starting the bridge: %w", err)
	}
	if b.listener, err = net.Listen("tcp", o.listen); err != nil {
		b.proxy.Close()
		return nil, fmt.Errorf("opening the bridge's address: %w", err)
	}
	d.let = b.proxy.SetAccess
	var following context.Context
	following, b.shut = context.WithCancel(context.Background())
	go d.follow(following)
	b.http = &http.Server{Handler: b.proxy, ReadHeaderTimeout: 10 * time.Second}
	go b.serve(o.tls)
	return b, nil
}

func (b *bridgeRole) serve(tls tlsFlags) {
	var err error
	if tls.TLSCert != "" {
		err = b.http.ServeTLS(b.listener, tls.TLSCert, tls.TLSKey)
	} else {
		err = b.http.Serve(b.listener)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		b.failed <- fmt.Errorf("serving HTTP: %w", err)
	}
}

// measure adds what the bridge counts to a meter.
func (b *bridgeRole) measure(m *meter) {
	m.gauge("bridge_connections", "Open connections of browsers and engines.", func() float64 { return float64(b.proxy.Conns()) })
	for _, c := range []struct {
		name, help string
		value      func(proxy.Counts) uint64
	}{
		{"multicasts", "Group requests forwarded.", func(c proxy.Counts) uint64 { return c.Multicasts }},
		{"multicast_bytes", "Bytes of group requests forwarded.", func(c proxy.Counts) uint64 { return c.Bytes }},
		{"multicasts_silent", "Group requests forwarded whose sender wanted no answers, such as blocks of firmware.", func(c proxy.Counts) uint64 { return c.Silent }},
		{"multicasts_refused", "Group requests refused because a sender was too fast.", func(c proxy.Counts) uint64 { return c.Refused }},
	} {
		m.counter("bridge_"+c.name+"_total", c.help, func() float64 { return float64(c.value(b.proxy.Counts())) })
	}
	m.gauge("bridge_multicast_queued_bytes", "Bytes of group requests that wait for --multicast-rate.", func() float64 { return float64(b.proxy.Counts().Queued) })
}

func (b *bridgeRole) url() string { return b.scheme + "://" + b.listener.Addr().String() }

func (b *bridgeRole) stop() {
	b.shut()
	b.proxy.Close()
	b.http.Close()
	b.listener.Close() // Serve may not have come to know it yet
}
