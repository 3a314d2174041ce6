package main

// settingsCmd is everything about settings: schemas by their vendors, changes by
// installers.
type settingsCmd struct {
	Schema    settingsSchemaCmd    `cmd:"" help:"Make a signed schema, show one, or say who signed it."`
	Read      settingsReadCmd      `cmd:"" help:"Ask the devices of a group what they run, and say what has drifted."`
	Plan      settingsPlanCmd      `cmd:"" help:"Say what a change would make different. Nothing is sent but questions."`
	Apply     settingsApplyCmd     `cmd:"" help:"Change the settings of a group: stage, switch together, then confirm or revert."`
	Confirm   settingsConfirmCmd   `cmd:"" help:"Keep the new settings that the devices try."`
	Revert    settingsRevertCmd    `cmd:"" help:"Take a change back that is not confirmed."`
	Undo      settingsUndoCmd      `cmd:"" help:"Go back to the settings before a change that was confirmed, for 30 days."`
	Status    settingsStatusCmd    `cmd:"" help:"Say where a change stands."`
	Export    settingsExportCmd    `cmd:"" help:"Print what the devices run, as SenML or CSV."`
	Import    settingsImportCmd    `cmd:"" help:"Change the settings to what a SenML or CSV file has."`
	Templates settingsTemplatesCmd `cmd:"" help:"List the templates, save or delete one."`
}

// sceneCmd is about lighting scenes.
type sceneCmd struct {
	Recall sceneRecallCmd `cmd:"" help:"Have a group show a scene that its lamps have stored."`
}

// emergencyCmd is about emergency lighting.
type emergencyCmd struct {
	On   emergencyOnCmd   `cmd:"" help:"Have all lamps of a group shine, in front of every other command."`
	Off  emergencyOffCmd  `cmd:"" help:"End the emergency: the lamps obey other commands again."`
	Test emergencyTestCmd `cmd:"" help:"Have emergency lights test themselves, and keep the results."`
	Log  emergencyLogCmd  `cmd:"" help:"Print the log of emergency lights."`
}
