// Lamplighter brings lamps, switches and sensors into secure CoAP multicast
// groups from a browser. This program is everything that is not the page: the
// bridge between the browser's WebSocket and the building's UDP, the
// Authorization Server, the Group Manager, simulated devices, the demo that
// starts all of them on loopback, and the installer's engine without a browser.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set by the release build with -ldflags -X main.version=….
var version = "0.1-dev"

type cli struct {
	Demo       demoCmd       `cmd:"" help:"Start a whole site on loopback: bridge, Authorization Server, Group Manager and simulated lamps."`
	Bridge     bridgeCmd     `cmd:"" help:"Serve the page and carry CoAP between browsers and the building network."`
	AS         asCommands    `cmd:"" name:"as" help:"Run the Authorization Server; back it up, restore it."`
	GM         gmCommands    `cmd:"" name:"gm" help:"Run the Group Manager; back it up, restore it."`
	Device     deviceCmd     `cmd:"" help:"Run one simulated lamp."`
	Invite     inviteCmd     `cmd:"" help:"Invite a person: print a link and a QR code that work once."`
	People     peopleCmd     `cmd:"" help:"List who is invited and who has enrolled."`
	Policy     policyCmd     `cmd:"" help:"Print or replace what a person may do."`
	Revoke     revokeCmd     `cmd:"" help:"End at once all that a person can do."`
	Commission commissionCmd `cmd:"" help:"Claim, join and call the roll from a terminal, with the engine that the page uses."`

	Firmware firmwareCmd `cmd:"" help:"Send firmware to a whole group, and look after rollouts."`
	Settings settingsCmd `cmd:"" help:"Settings of a whole group, and the schemas that give them meaning."`

	Scene     sceneCmd     `cmd:"" help:"Lighting scenes of a group."`
	Emergency emergencyCmd `cmd:"" help:"Emergency lighting: switch it, test it, print its log."`

	Version     versionCmd     `cmd:"" help:"Print the version."`
	CheckConfig checkConfigCmd `cmd:"" help:"Say what is wrong with a configuration file."`

	Config    kong.ConfigFlag `placeholder:"FILE" help:"Read flags from this file (YAML; docs/operating.md)."`
	LogFormat string          `help:"How to log: text or json." enum:"text,json" default:"text" env:"LAMPLIGHTER_LOG_FORMAT"`
	Log       string          `help:"What to log: debug, info, warn or error. Default: info for servers, warn for demo, commission, firmware, settings, scene and emergency." enum:",debug,info,warn,error" default:"" env:"LAMPLIGHTER_LOG"`
	NonceLog  string          `hidden:"" help:"Append a hash of every (key, nonce) and its ciphertext to this file; for tests." env:"LAMPLIGHTER_NONCE_LOG"`
}

type asCommands struct {
	Run     asCmd        `cmd:"" default:"withargs" help:"Run the Authorization Server: what lamplighter as does by itself."`
	Backup  asBackupCmd  `cmd:"" help:"Write a backup, also while the server runs."`
	Restore asRestoreCmd `cmd:"" help:"Make the state of a new server of a backup."`
}

type gmCommands struct {
	Run     gmCmd        `cmd:"" default:"withargs" help:"Run the Group Manager: what lamplighter gm does by itself."`
	Status  gmStatusCmd  `cmd:"" help:"Say how the running Group Manager does."`
	Backup  gmBackupCmd  `cmd:"" help:"Write a backup, also while the server runs."`
	Restore gmRestoreCmd `cmd:"" help:"Make the state of a new server of a backup."`
}

// versionCmd is a command and no flag: firmware sign has one of that name.
type versionCmd struct{}

func (versionCmd) Run() error {
	fmt.Println(version)
	return nil
}

// arguments are those of the command line; --version alone is the command.
func arguments(args []string) []string {
	if len(args) == 1 && args[0] == "--version" {
		return []string{"version"}
	}
	return args
}

func newParser(c *cli) (parser *kong.Kong) {
	parser = kong.Must(c,
		kong.Name("lamplighter"),
		kong.Description("Commission secure CoAP multicast groups from a browser.\n\nTo see it work: lamplighter demo"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.UsageOnError(),
		kong.Configuration(loadConfig(func() *kong.Application { return parser.Model })),
	)
	return parser
}

func main() {
	var c cli
	parser := newParser(&c)
	command, err := parser.Parse(arguments(os.Args[1:]))
	parser.FatalIfErrorf(err)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger := slog.New(c.logHandler(os.Stderr, command.Command()))
	command.BindTo(ctx, (*context.Context)(nil))
	command.Bind(logger)
	closeLog, err := recordNonces(c.NonceLog)
	if err == nil {
		err = command.Run()
		closeLog()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lamplighter:", err)
		os.Exit(endCode(ctx, err))
	}
}

// endCode is what the program ends with after err; who interrupted it is told so.
func endCode(ctx context.Context, err error) int {
	code := exitCode(err)
	if code == 1 && ctx.Err() != nil {
		return exitInterrupted
	}
	return code
}

// logHandler writes the log in the format that was asked for.
func (c *cli) logHandler(w io.Writer, command string) slog.Handler {
	options := &slog.HandlerOptions{Level: logLevel(c.Log, command)}
	if c.LogFormat == "json" {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

// softly are the commands of a person who reads what they print.
var softly = []string{"demo", "commission", "firmware", "settings", "scene", "emergency"}

// logLevel is the level that was asked for. A person in front of a terminal wants only
// warnings between what a command prints.
func logLevel(asked, command string) (level slog.Level) {
	first, _, _ := strings.Cut(command, " ")
	if asked == "" && slices.Contains(softly, first) {
		return slog.LevelWarn
	}
	if asked != "" {
		_ = level.UnmarshalText([]byte(asked)) // the parser took no other words
	}
	return level
}
