package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"lamplighter/bridge/control"
)

// atAS is what the commands about people have alike: they ask the running
// Authorization Server.
type atAS struct {
	Data string `type:"path" required:"" env:"LAMPLIGHTER_DATA" placeholder:"DIR" help:"Data folder of the running Authorization Server, or of the demo. Also in the environment as LAMPLIGHTER_DATA."`
}

// callAS asks the running Authorization Server.
func callAS[Out any](ctx context.Context, at atAS, method, path string, in any) (Out, error) {
	out, err := control.Call[Out](ctx, at.Data, asName, method, path, in)
	if errors.Is(err, control.ErrNotRunning) {
		return out, fmt.Errorf("no Authorization Server runs with the data folder %s; start it with: lamplighter as --data %s", at.Data, at.Data)
	}
	return out, err
}

type inviteCmd struct {
	Name    string   `arg:"" help:"Whom to invite."`
	Role    string   `default:"installer" enum:"installer,maintainer,viewer,admin" help:"What the person may do: installer (set up devices and groups), maintainer (command them), viewer (look on), admin (everything, people too)."`
	Expires lifetime `default:"7d" placeholder:"TIME" help:"How long the link works, such as 7d, 36h or 90m. Default: 7d."`
	Groups  []string `name:"group" help:"Groups that the role is for, by name or by a beginning with * behind it. Default: all there are and will be."`
	QR      string   `name:"qr" default:"auto" enum:"auto,always,never" help:"Print a QR code of the link: auto (on a terminal), always or never."`
	atAS
}

// Help is what `lamplighter invite --help` adds.
func (inviteCmd) Help() string {
	return "Prints a link that works once: the browser that opens it enrols with a key of its own, and may use the bridge until `lamplighter revoke`.\n" +
		"Whoever holds the link can use it: send it on a way that you trust."
}

func (c inviteCmd) Run(ctx context.Context) error {
	made, err := callAS[invited](ctx, c.atAS, "POST", "/invite", inviteRequest{
		Name: c.Name, Role: c.Role, Groups: c.Groups, Seconds: int64(time.Duration(c.Expires).Seconds()),
	})
	if err != nil {
		return err
	}
	return c.print(os.Stdout, made)
}

func (c inviteCmd) print(out io.Writer, made invited) error {
	if c.QR == "always" || c.QR == "auto" && isTerminal(os.Stdout) {
		if err := printQR(out, made.Link); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "Invitation for %s (%s), once, until %s:\n%s\n",
		c.Name, c.Role, time.Unix(made.Expires, 0).Format("2006-01-02 15:04"), made.Link)
	return err
}

type peopleCmd struct {
	atAS
}

func (c peopleCmd) Run(ctx context.Context) error {
	list, err := callAS[[]person](ctx, c.atAS, "GET", "/people", nil)
	if err != nil {
		return err
	}
	return printPeople(os.Stdout, list)
}

func printPeople(out io.Writer, list []person) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "Nobody is invited. Invite somebody with: lamplighter invite NAME")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tROLE\tSTATE\tID")
	for _, p := range list {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", p.Name, p.Role, p.state(), p.ID)
	}
	return table.Flush()
}

type revokeCmd struct {
	Who string `arg:"" name:"name" help:"Name of the person, or the id where several have that name."`
	atAS
}

// Help is what `lamplighter revoke --help` adds.
func (revokeCmd) Help() string {
	return "Ends at once what the person can do: tokens, sessions, the bridge and what is open through it, an invitation that was not used.\n" +
		"Devices stay with the site. Those that list the person as a commissioner forget that when an administrator's browser brings them the new list."
}

func (c revokeCmd) Run(ctx context.Context) error {
	gone, err := callAS[[]person](ctx, c.atAS, "POST", "/revoke", revokeRequest{c.Who})
	for _, p := range gone {
		fmt.Printf("Revoked %s (%s, %s)\n", p.Name, p.ID, p.state())
	}
	return err
}
