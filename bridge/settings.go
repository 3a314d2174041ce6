package main

// settingsCmd is everything about settings: schemas by their vendors, changes by
// installers.
type settingsCmd struct {
	Schema settingsSchemaCmd `cmd:"" help:"Make a signed schema, show one, or say who signed it."`
}
