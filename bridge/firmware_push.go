package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"lamplighter/internal/commission"
)

// firmwarePushCmd sends an image to a group, with the engine that the page uses.
type firmwarePushCmd struct {
	File string `arg:"" type:"existingfile" help:"The signed firmware file."`
	engineFlags
	Group          string        `default:"hall-ceiling" help:"The group whose devices are to have it."`
	Profile        string        `default:"wi-fi" enum:"802.15.4,wi-fi,ethernet" help:"The network: 802.15.4, wi-fi or ethernet. It sets the rate and the size of blocks."`
	Canary         int           `default:"1" help:"Devices that switch first."`
	Percent        float64       `default:"10" help:"Percent of the devices that switch next; the rest follows."`
	MaxUnavailable int           `placeholder:"N" help:"Devices of one place that may be switching at a time. Default: half of them."`
	ConfirmWithin  time.Duration `default:"10m" help:"A device that nobody confirms in this time goes back to the image before."`
	Soak           time.Duration `default:"0s" help:"How long a wave is watched before the next one."`
	Threshold      float64       `default:"5" help:"Percent of failures that stop the rollout. One in the first wave always does."`
	Hold           bool          `help:"Wait for lamplighter firmware advance between waves."`
	At             switchTime    `placeholder:"TIME" help:"When to switch, such as 02:30 or 2027-01-31T02:30:00+01:00. Default: as soon as all have the image."`
	Devices        []string      `name:"device" help:"Only these devices, by id. Default: all of the group."`
	TakeOver       bool          `help:"Also devices that somebody else's rollout feeds."`
	Yes            bool          `short:"y" help:"Start without asking."`
	DryRun         bool          `help:"Print the plan and send no byte of the image."`
}

// Help is what `lamplighter firmware push --help` adds.
func (firmwarePushCmd) Help() string {
	return "Prints what would happen, asks, sends the image to all at once, and switches device after device in waves.\n" +
		"Ctrl-C stops it here; what the devices have is kept, and the same command, or firmware resume, goes on.\n" +
		"Exit codes: 0 all have confirmed it, 3 some have, 1 none has or it could not start, 130 interrupted."
}

// options are the command's as the engine has them.
func (c firmwarePushCmd) options() commission.FirmwareOptions {
	o := commission.FirmwareOptions{
		Profile: c.Profile, Canary: orNone(c.Canary), Percent: orNone(c.Percent), MaxUnavailable: c.MaxUnavailable,
		ConfirmWithin: int(c.ConfirmWithin.Seconds()), Soak: int(c.Soak.Seconds()), Threshold: c.Threshold,
		Hold: c.Hold, Devices: c.Devices, TakeOver: c.TakeOver,
	}
	if !time.Time(c.At).IsZero() {
		o.At = time.Time(c.At).UnixMilli()
	}
	return o
}

// orNone says "none" as the engine has it: there 0 is the default.
func orNone[N int | float64](n N) N {
	if n == 0 {
		return -1
	}
	return n
}

// firmwareEngine is the part of the engine that rolls out firmware.
type firmwareEngine interface {
	Snapshot() commission.Snapshot
	InspectFirmware(ctx context.Context, file []byte) (commission.FirmwareImage, error)
	PlanFirmware(ctx context.Context, group, image string, options commission.FirmwareOptions) (commission.FirmwarePlan, error)
	StartFirmware(ctx context.Context, group, image string, options commission.FirmwareOptions) (commission.Job, error)
	PauseFirmware(ctx context.Context, job string) (commission.Job, error)
	ResumeFirmware(ctx context.Context, job string) (commission.Job, error)
	AdvanceFirmware(ctx context.Context, job string) (commission.Job, error)
	CancelJob(ctx context.Context, job string) (commission.Job, error)
	Firmware(ctx context.Context, job string) (commission.Rollout, error)
	FirmwareReport(ctx context.Context, job string) (string, error)
}

// Run pushes.
func (c firmwarePushCmd) Run(ctx context.Context, logger *slog.Logger) error {
	if f := c.firstFlaw(); f != "" {
		return errors.New(f)
	}
	file, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	watch := newRolloutWatch(os.Stdout)
	engine, done, err := c.open(ctx, logger, watch.event)
	if err != nil {
		return err
	}
	defer done()
	stop, err := serveFirmware(c.Data, engine, logger)
	if err != nil {
		return err
	}
	defer stop()
	return c.push(ctx, engine, file, watch, os.Stdin)
}

// firstFlaw is what no plan could make good.
func (c firmwarePushCmd) firstFlaw() string {
	switch {
	case c.Canary < 0 || c.MaxUnavailable < 0:
		return "--canary and --max-unavailable count devices: they are 0 or more"
	case c.Percent < 0 || c.Percent > 100:
		return "--percent is 0 to 100"
	case c.Threshold < 0 || c.Threshold > 100:
		return "--threshold is 0 to 100 percent"
	case c.Soak < 0 || c.ConfirmWithin < 0:
		return "--soak and --confirm-within are not negative"
	}
	return ""
}

// push plans, asks, starts and follows.
func (c firmwarePushCmd) push(ctx context.Context, e firmwareEngine, file []byte, watch *rolloutWatch, answers io.Reader) error {
	image, err := e.InspectFirmware(ctx, file)
	if err != nil {
		return err
	}
	printImage(watch.out, image)
	if image.Problem != nil {
		return told(image.Problem)
	}
	if job := unfinished(e, c.Group, image.Digest); job != "" && !c.DryRun {
		fmt.Fprintf(watch.out, "Job %s was not finished: it goes on.\n", job)
		return watch.follow(ctx, e, job, c.again(job))
	}
	plan, err := e.PlanFirmware(ctx, c.Group, image.Digest, c.options())
	if err != nil {
		return err
	}
	printPlan(watch.out, e.Snapshot(), plan)
	switch {
	case allRunIt(plan):
		fmt.Fprintln(watch.out, "All run it already.")
		return nil
	case plan.Problem != nil:
		return told(plan.Problem)
	case plan.Fits == 0:
		return errors.New("no device of the group can take this image; the reasons stand above")
	case c.DryRun:
		return nil
	case !c.Yes && !confirmed(watch.out, answers):
		return errors.New("not started; answer y, or give --yes")
	}
	job, err := e.StartFirmware(ctx, c.Group, image.Digest, plan.Options)
	if err != nil {
		return err
	}
	return watch.follow(ctx, e, job.ID, c.again(job.ID))
}

// allRunIt says that nothing is left to do.
func allRunIt(p commission.FirmwarePlan) bool {
	for _, d := range p.Devices {
		if d.Problem == nil || d.Problem.ID != "fw-running" {
			return false
		}
	}
	return len(p.Devices) > 0
}

// again is the command that goes on with a job.
func (f engineFlags) again(job string) string {
	return fmt.Sprintf("lamplighter firmware resume %s --link %s --data %s", job, linkForPrint(f.Link), f.Data)
}

// linkForPrint does not repeat a link, which holds secrets.
func linkForPrint(link string) string {
	if strings.Contains(link, "://") {
		return "LINK"
	}
	return link
}

// unfinished is the latest rollout of an image to a group that has not ended.
func unfinished(e firmwareEngine, group, digest string) string {
	for _, r := range e.Snapshot().Rollouts {
		if r.Group == group && r.Image.Digest == digest && r.Ended == 0 {
			return r.Job
		}
	}
	return ""
}

func confirmed(out io.Writer, answers io.Reader) bool {
	fmt.Fprint(out, "Start? [y/N] ")
	line, _ := bufio.NewReader(answers).ReadString('\n')
	line = strings.ToLower(strings.TrimSpace(line))
	return line == "y" || line == "yes"
}

// told is a problem as an error: what is wrong, and what to do.
func told(p *commission.Problem) error { return errors.New(sentence(p)) }

func sentence(p *commission.Problem) string {
	if p == nil {
		return ""
	}
	return strings.TrimSpace(p.Text + " " + p.Next)
}

// switchTime is a time that may be given as the next time of day.
type switchTime time.Time

// UnmarshalText reads "02:30" or a time as RFC 3339 has it.
func (m *switchTime) UnmarshalText(text []byte) error {
	at, err := parseSwitchTime(string(text), time.Now())
	*m = switchTime(at)
	return err
}

func parseSwitchTime(text string, now time.Time) (time.Time, error) {
	if clock, err := time.ParseInLocation("15:04", text, now.Location()); err == nil {
		at := time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(), 0, 0, now.Location())
		if !at.After(now) {
			at = at.AddDate(0, 0, 1)
		}
		return at, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	switch {
	case err != nil:
		return at, fmt.Errorf("%q is no time such as 02:30 or 2027-01-31T02:30:00+01:00", text)
	case !at.After(now):
		return at, fmt.Errorf("%q is over", text)
	}
	return at, nil
}

// exitError is an error with an exit code of its own.
type exitError struct {
	error
	code int
}

// exitCode is what the program ends with after err.
func exitCode(err error) int {
	var e exitError
	if errors.As(err, &e) {
		return e.code
	}
	return 1
}
