package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"lamplighter/internal/backup"
	"lamplighter/internal/commission"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/store/bolt"
)

// engineFlags say where an installer's engine has its state and how it reaches the
// site.
type engineFlags struct {
	Link      string `required:"" help:"The invitation link, or the file that holds it."`
	Data      string `type:"path" required:"" help:"Folder of the engine's state, such as the site credential. Keep it."`
	Direct    bool   `help:"Send CoAP over UDP from here instead of through the bridge."`
	Interface string `default:"lo" help:"With --direct: network interface of multicast traffic."`
}

// open starts the engine and accepts the invitation: it is enrolled then, or was
// before. done ends it; what is not finished goes on at the next start.
func (f engineFlags) open(ctx context.Context, logger *slog.Logger, events func(commission.Event)) (engine *commission.Engine, done func(), err error) {
	link, err := f.readLink()
	if err != nil {
		return nil, nil, err
	}
	var told atomic.Pointer[commission.Engine]
	config := commission.Config{Logger: logger, Events: events}
	closeLink, err := f.connect(&config, link, func(s endpoint.LinkState) {
		if engine := told.Load(); engine != nil {
			engine.SetLink(s.Up, s.RTT, linkReason(s.Reason))
		}
	})
	if err != nil {
		return nil, nil, err
	}
	engine, closeEngine, err := startEngine(ctx, f.Data, config)
	if err != nil {
		closeLink()
		return nil, nil, err
	}
	done = func() {
		closeEngine()
		closeLink()
	}
	// Until the first event the link counts as up: an exchange waits for it.
	engine.SetLink(true, 0, "")
	told.Store(engine)
	if _, err := engine.AcceptInvitation(ctx, link); err != nil {
		done()
		return nil, nil, err
	}
	return engine, done, nil
}

// startEngine starts an engine over the store in a folder.
func startEngine(ctx context.Context, data string, config commission.Config) (*commission.Engine, func(), error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, nil, err
	}
	db, err := bolt.Open(filepath.Join(data, "site.db"))
	if err != nil {
		return nil, nil, fmt.Errorf("opening the site's store: %w", err)
	}
	config.Store, config.Version, config.Sealer = db, version, backup.Age{}
	engine, err := commission.New(config)
	if err == nil {
		err = engine.Start(ctx)
	}
	if err != nil {
		db.Close()
		return nil, nil, fmt.Errorf("starting the engine: %w", err)
	}
	return engine, func() {
		engine.Close()
		db.Close()
	}, nil
}

func (f engineFlags) readLink() (string, error) {
	if strings.Contains(f.Link, "://") {
		return f.Link, nil
	}
	text, err := os.ReadFile(f.Link)
	if err != nil {
		return "", fmt.Errorf("reading the invitation link: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// linkReason says why the bridge is away, and nothing while it is there.
func linkReason(reason error) string {
	switch {
	case reason == nil:
		return ""
	case errors.Is(reason, endpoint.ErrRevoked):
		return "Your access to this site was revoked. If that was a mistake, ask for a new invitation."
	}
	return "The bridge cannot be reached: " + reason.Error() + "."
}

// connect gives the engine its way to the network: the bridge, whose link
// reports to events, or a UDP socket of its own.
func (f engineFlags) connect(config *commission.Config, link string, events func(endpoint.LinkState)) (func(), error) {
	if f.Direct {
		udp, err := endpoint.ListenUDP(netip.MustParseAddrPort("0.0.0.0:0"), nil, endpoint.UDPOptions{Interface: f.Interface, Logger: config.Logger})
		if err != nil {
			return nil, err
		}
		config.Exchange = udp
		return func() { udp.Close() }, nil
	}
	page, err := url.Parse(link)
	if err != nil || page.Host == "" {
		return nil, errors.New("the invitation link has no host; copy it whole")
	}
	base := page.Scheme + "://" + page.Host
	tokens := make(chan string, 1)
	bridge := endpoint.NewLink(bridgeDialer(base, tokens), events)
	config.SignIn = func(ctx context.Context, code string) error {
		token, err := endpoint.SignIn(ctx, base, code)
		if err == nil {
			latest(tokens, token)
			bridge.Kick()
		}
		return err
	}
	config.Exchange = bridge
	return func() { bridge.Close() }, nil
}

// latest puts a token into a channel with room for one, in place of one that nobody
// has taken: who signs in again while the link is up waits for nobody.
func latest(tokens chan string, token string) {
	for {
		select {
		case tokens <- token:
			return
		default:
		}
		select {
		case <-tokens:
		default:
		}
	}
}

// bridgeDialer waits for the first sign-in and dials with the token of the last.
func bridgeDialer(base string, tokens <-chan string) func(context.Context) (*endpoint.WS, error) {
	token := ""
	return func(ctx context.Context) (*endpoint.WS, error) {
		for token == "" || len(tokens) > 0 {
			select {
			case token = <-tokens:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return endpoint.DialExplained(ctx, base, endpoint.WSOptions{Token: token})
	}
}
