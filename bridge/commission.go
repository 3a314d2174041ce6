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
	"time"

	"lamplighter/internal/backup"
	"lamplighter/internal/commission"
	"lamplighter/internal/endpoint"
	"lamplighter/internal/store/bolt"
)

type commissionCmd struct {
	Link      string `required:"" help:"The invitation link, or the file that holds it."`
	Labels    string `type:"existingfile" help:"Table of labels (CSV) to import first."`
	Group     string `default:"hall-ceiling" help:"The group to join."`
	Data      string `type:"path" required:"" help:"Folder of the engine's state, such as the site credential. Keep it."`
	Direct    bool   `help:"Send CoAP over UDP from here instead of through the bridge."`
	Interface string `default:"lo" help:"With --direct: network interface of multicast traffic."`
	Limit     int    `help:"Join at most this many devices; 0: all that were found."`
	On        bool   `help:"Switch the group on before the roll call."`
}

// Help is what `lamplighter commission --help` adds.
func (commissionCmd) Help() string {
	return "Accepts the invitation, imports the labels, discovers devices, claims and joins them, and calls the roll.\n" +
		"Every step can be repeated: what is done already is not done twice. The exit code is 1 when a device did not answer."
}

func (c commissionCmd) Run(ctx context.Context, logger *slog.Logger) error {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return err
	}
	link, err := c.readLink()
	if err != nil {
		return err
	}
	db, err := bolt.Open(filepath.Join(c.Data, "site.db"))
	if err != nil {
		return fmt.Errorf("opening the site's store: %w", err)
	}
	defer db.Close()
	config := commission.Config{Store: db, Logger: logger, Version: version, Sealer: backup.Age{}, Events: printEvents(os.Stdout)}
	var told atomic.Pointer[commission.Engine]
	closeLink, err := c.connect(&config, link, func(s endpoint.LinkState) {
		if engine := told.Load(); engine != nil {
			engine.SetLink(s.Up, s.RTT, linkReason(s.Reason))
		}
	})
	if err != nil {
		return err
	}
	defer closeLink()
	engine, err := commission.New(config)
	if err != nil {
		return err
	}
	defer engine.Close()
	if err := engine.Start(ctx); err != nil {
		return fmt.Errorf("starting the engine: %w", err)
	}
	// Until the first event the link counts as up: an exchange waits for it.
	engine.SetLink(true, 0, "")
	told.Store(engine)
	return c.journey(ctx, engine, link)
}

func (c commissionCmd) readLink() (string, error) {
	if strings.Contains(c.Link, "://") {
		return c.Link, nil
	}
	text, err := os.ReadFile(c.Link)
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
func (c commissionCmd) connect(config *commission.Config, link string, events func(endpoint.LinkState)) (func(), error) {
	if c.Direct {
		udp, err := endpoint.ListenUDP(netip.MustParseAddrPort("0.0.0.0:0"), nil, endpoint.UDPOptions{Interface: c.Interface, Logger: config.Logger})
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

func (c commissionCmd) journey(ctx context.Context, e *commission.Engine, link string) error {
	if _, err := e.AcceptInvitation(ctx, link); err != nil {
		return err
	}
	if c.Labels != "" {
		text, err := os.ReadFile(c.Labels)
		if err != nil {
			return err
		}
		report, err := e.ImportLabels(ctx, string(text))
		if err != nil {
			return err
		}
		fmt.Printf("labels: %d new, %d as before, %d refused\n", report.Added, report.Same+report.Updated, len(report.Rejected))
		for _, line := range report.Rejected {
			fmt.Printf("  line %d: %s\n", line.Line, line.Reason)
		}
	}
	if _, err := e.Discover(ctx); err != nil {
		return err
	}
	if err := c.join(ctx, e); err != nil {
		return err
	}
	if c.On {
		on := true
		if _, err := e.SetLight(ctx, c.Group, commission.Light{On: &on}); err != nil {
			return err
		}
	}
	call, err := e.RollCall(ctx, c.Group)
	if err != nil {
		return err
	}
	return printRollCall(os.Stdout, e.Snapshot(), call)
}

func (c commissionCmd) join(ctx context.Context, e *commission.Engine) error {
	var ids []string
	for _, d := range e.Snapshot().Devices {
		if d.Found && d.LabelKnown && (c.Limit == 0 || len(ids) < c.Limit) {
			ids = append(ids, d.ID)
		}
	}
	if len(ids) == 0 {
		return errors.New("no device of these labels was found; are they powered, and is the multicast interface right?")
	}
	started := time.Now()
	job, err := e.Join(ctx, c.Group, ids)
	if err != nil {
		return err
	}
	if job, err = e.WaitJob(ctx, job.ID); err != nil {
		return err
	}
	fmt.Printf("joined %d of %d to %s in %.1f s\n", job.Done, job.Total, c.Group, time.Since(started).Seconds())
	return nil
}
