package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"lamplighter/internal/commission"
)

// printEvents prints what a person in front of a terminal wants to follow.
func printEvents(out io.Writer) func(commission.Event) {
	return func(e commission.Event) {
		if e.Log != nil && e.Log.Level != "info" {
			fmt.Fprintf(out, "%s: %s\n", e.Log.Level, e.Log.Text)
		}
	}
}

// toGroup says what went to all.
func toGroup(call commission.RollCall) string {
	text := fmt.Sprintf("%d messages to the group", call.Messages)
	if call.Messages == 1 {
		text = "1 message to the group"
	}
	if call.Multicasts > call.Messages {
		text += fmt.Sprintf(", %d with its copies", call.Multicasts)
	}
	return text
}

// printRollCall prints one row a device; a missing answer is an error.
func printRollCall(out io.Writer, s commission.Snapshot, call commission.RollCall) error {
	names := map[string]string{}
	for _, d := range s.Devices {
		names[d.ID] = d.Name
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DEVICE\tNAME\tRESULT\tTIME\tSENDER ID\tLIGHT")
	for _, a := range call.Answers {
		light := "off"
		if a.On {
			light = fmt.Sprintf("on, %d %%", a.Level)
		}
		if a.State != commission.AnswerVerified {
			light = "unknown"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%.1f ms\t%s\t%s\n", a.Device, names[a.Device], a.State, a.RTT, a.SenderID, light)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d of %d verified; %s, %d to one device\n", call.Verified, len(call.Answers), toGroup(call), call.Unicasts)
	if call.Until > 0 {
		fmt.Fprintf(out, "Who did not confirm it is asked on until %s by every program that runs over this data.\n", timeOfDay(call.Until))
	}
	if call.Verified < len(call.Answers) {
		return fmt.Errorf("%d devices did not answer", len(call.Answers)-call.Verified)
	}
	return nil
}
