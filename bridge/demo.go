package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"lamplighter/bridge/proxy"
	"lamplighter/internal/as"
	"lamplighter/internal/cose"
	"lamplighter/internal/label"
)

type demoCmd struct {
	Devices   int           `default:"30" help:"How many simulated lamps, at most 1000; the last of each room is an emergency light."`
	Switches  int           `default:"0" placeholder:"N" help:"How many simulated switches besides."`
	Sensors   int           `default:"0" placeholder:"N" help:"How many simulated motion sensors besides."`
	Data      string        `type:"path" placeholder:"DIR" help:"Folder of all state; the next start with it goes on. Default: a new temporary folder."`
	Listen    string        `placeholder:"ADDR" help:"HTTP address of the page. Default: 127.0.0.1:8080, or a free port when that is taken."`
	Origins   []string      `name:"origin" help:"Origins that browsers come from when not from this machine, such as https://192.168.1.10:8443; the link begins with the first."`
	Interface string        `default:"lo" help:"Network interface of multicast traffic."`
	Slot      int           `default:"-1" help:"Which block of loopback addresses and ports to use, 0 to 60; several demos run side by side. Default: the first free one."`
	Leisure   time.Duration `default:"250ms" help:"Longest random delay of a lamp before it answers a group message."`
	GroupMode bool          `help:"Lamps answer group messages in group mode, with a signature, not in pairwise mode."`
	Site      string        `default:"Riverside School" help:"Name of the site."`
	Installer string        `default:"Installer" help:"Whom the invitation is for."`
	Groups    []string      `name:"group" default:"hall-ceiling,stage" help:"Groups at the Group Manager."`
	Inspect   string        `placeholder:"ADDR" help:"HTTP address, on loopback, that tells the lamps' real state and switches faults; for tests."`
	Reboot    time.Duration `default:"1s" help:"How long a lamp is silent while it restarts."`
	Speed     float64       `default:"60" placeholder:"N" help:"How many times faster than in life batteries of emergency lights drain and charge."`
	lossFlags
	tlsFlags
}

// Help is what `lamplighter demo --help` adds.
func (demoCmd) Help() string {
	return "Everything runs on loopback in this process: bridge, Authorization Server, Group Manager, simulated lamps.\n" +
		"The link that it prints signs a browser in. labels.csv in the data folder holds the lamps' labels: import it on the page."
}

func (c demoCmd) Run(ctx context.Context, logger *slog.Logger) error {
	switch {
	case c.Devices < 1 || c.Devices > maxLamps:
		return fmt.Errorf("--devices must be 1 to %d", maxLamps)
	case c.Switches < 0 || c.Sensors < 0 || c.Devices+c.Switches+c.Sensors > maxLamps:
		return fmt.Errorf("--switches and --sensors are not negative, and all devices are at most %d", maxLamps)
	case c.Speed <= 0:
		return errors.New("--speed is more than 0")
	}
	if err := c.check(); err != nil {
		return err
	}
	if err := c.dataFolder(); err != nil {
		return err
	}
	d, err := startDemo(ctx, c, logger)
	if err != nil {
		return err
	}
	defer d.stop()
	d.announce(os.Stdout)
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.bridge.failed:
		return err
	}
}

func (c *demoCmd) dataFolder() (err error) {
	if c.Data == "" {
		c.Data, err = os.MkdirTemp("", "lamplighter-demo-")
		return err
	}
	return os.MkdirAll(c.Data, 0o700)
}

// demo is a whole site in one process.
type demo struct {
	cmd    demoCmd
	slot   slot
	as     *asRole
	gm     *gmRole
	lamps  *fleet
	bridge *bridgeRole
	tap    *trafficTap // nil without --inspect
	link   string

	bridgeOptions bridgeOptions // to start it again in the same place
	stops         []func()      // in the order of the starts
	logger        *slog.Logger
}

func startDemo(ctx context.Context, c demoCmd, logger *slog.Logger) (d *demo, err error) {
	d = &demo{cmd: c, logger: logger}
	defer func() {
		if err != nil {
			d.stop()
		}
	}()
	if d.slot, err = takeSlot(c.Slot, c.Data); err != nil {
		return nil, err
	}
	d.stops = append(d.stops, d.slot.release)
	for _, start := range []func(context.Context) error{d.startServers, d.startLamps, d.startBridge, d.invite, d.startInspector} {
		if err := start(ctx); err != nil {
			return d, err
		}
	}
	return d, nil
}

func (d *demo) startServers(ctx context.Context) (err error) {
	d.as, err = startAS(asOptions{data: d.cmd.Data, listen: d.slot.as, logger: d.logger})
	if err != nil {
		return err
	}
	d.stops = append(d.stops, func() { d.as.stop() })
	d.gm, err = startGM(ctx, gmOptions{data: d.cmd.Data, listen: d.slot.gm, as: d.slot.as, groups: d.cmd.Groups, logger: d.logger})
	if err != nil {
		return err
	}
	d.stops = append(d.stops, func() { d.gm.stop() })
	return nil
}

func (d *demo) startLamps(context.Context) (err error) {
	vendor, err := vendorKey(d.cmd.Data)
	if err != nil {
		return err
	}
	if err := writeFirmware(d.firmwareFolder(), vendor); err != nil {
		return err
	}
	signed, err := signModels(vendor, d.cmd.Leisure)
	if err != nil {
		return err
	}
	d.lamps, err = startFleet(fleetOptions{
		data: d.cmd.Data, count: d.cmd.Devices, switches: d.cmd.Switches, sensors: d.cmd.Sensors, models: signed, speed: d.cmd.Speed, slot: d.slot, iface: d.cmd.Interface,
		leisure: d.cmd.Leisure, groupMode: d.cmd.GroupMode, logger: d.logger,
		vendor: []cose.PublicKey{vendor.Public()}, reboot: d.cmd.Reboot, loss: d.cmd.lossFlags,
	})
	if err != nil {
		return err
	}
	d.stops = append(d.stops, d.lamps.stop)
	file, err := os.OpenFile(d.labelsFile(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(label.WriteCSV(file, d.lamps.labels()), file.Close())
}

// firmwareFolder has images for the lamps, and such as they must refuse.
func (d *demo) firmwareFolder() string { return filepath.Join(d.cmd.Data, "firmware") }

func (d *demo) labelsFile() string { return filepath.Join(d.cmd.Data, "labels.csv") }

func (d *demo) startBridge(context.Context) (err error) {
	options := bridgeOptions{
		data: d.cmd.Data, listen: d.cmd.Listen, tls: d.cmd.tlsFlags, logger: d.logger,
		config: proxy.Config{
			Targets:            []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			MulticastGroups:    []netip.AddrPort{d.slot.group},
			MulticastInterface: d.cmd.Interface,
			MulticastBits:      demoMulticastBits,
			Origins:            d.cmd.Origins,
		},
	}
	if d.cmd.Inspect != "" {
		d.tap = newTrafficTap()
		options.config.Record = d.tap.record
		addRecorder(func(key, _, plaintext, _ []byte) {
			d.tap.see("a key", key)
			d.tap.see("a plaintext", plaintext)
		})
	}
	if options.listen == "" {
		options.listen = "127.0.0.1:8080"
	}
	d.bridge, err = startBridge(options)
	if d.cmd.Listen == "" && errors.Is(err, syscall.EADDRINUSE) {
		options.listen = "127.0.0.1:0"
		d.bridge, err = startBridge(options)
	}
	if err != nil {
		return err
	}
	options.listen = d.bridge.listener.Addr().String()
	d.bridgeOptions = options
	d.stops = append(d.stops, func() { d.bridge.stop() })
	return nil
}

// invite makes a new invitation at every start: the link of an earlier one
// works once. It is an admin's, who may invite others.
func (d *demo) invite(ctx context.Context) error {
	site := d.site()
	if err := d.as.serveControl(d.cmd.Data, site); err != nil {
		return err
	}
	in := inviteRequest{Name: d.cmd.Installer, Role: string(as.RoleAdmin), Groups: d.cmd.Groups, Seconds: int64(demoInvitation.Seconds())}
	if err := d.as.share(ctx, &in); err != nil {
		return err
	}
	invitation, _, err := d.as.invite(ctx, in)
	if err != nil {
		return err
	}
	d.link = site.link(invitation)
	return os.WriteFile(filepath.Join(d.cmd.Data, "invitation.txt"), []byte(d.link+"\n"), 0o600)
}

// demoMulticastBits is the default of lamplighter bridge --multicast-rate.
const demoMulticastBits = 5e6

// demoInvitation is how long the demo's link works.
const demoInvitation = 7 * day

// site is what invitation links say of the demo.
func (d *demo) site() siteInfo {
	s := siteInfo{
		origin: d.bridge.url(), name: d.cmd.Site, gm: d.gm.addr(), gmCred: d.gm.identity.cred, multicast: d.slot.group,
	}
	if len(d.cmd.Origins) > 0 {
		s.origin = d.cmd.Origins[0]
	}
	return s
}

func (d *demo) announce(out *os.File) {
	more := ""
	if n := d.cmd.Switches + d.cmd.Sensors; n > 0 {
		more = fmt.Sprintf(", switches: %d, sensors: %d", d.cmd.Switches, d.cmd.Sensors)
	}
	fmt.Fprintf(out, "Lamplighter demo: %d lamps%s on loopback, state in %s\n\n", d.cmd.Devices, more, d.cmd.Data)
	fmt.Fprintf(out, "  1. Open   %s\n", d.link)
	fmt.Fprintf(out, "  2. Import %s\n", d.labelsFile())
	fmt.Fprintf(out, "  3. Update the lamps with a file of %s\n\n", d.firmwareFolder())
	fmt.Fprintln(out, "Ctrl-C ends it.")
}

func (d *demo) stop() {
	for i := len(d.stops) - 1; i >= 0; i-- {
		d.stops[i]()
	}
	d.stops = nil
}
