"""Where cells lie: outlines (`shapes`), and scenes of many cells with exact labels."""
