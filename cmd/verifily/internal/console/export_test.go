package console

// Terminal makes the console behave as if both streams were one terminal.
func (c *Console) Terminal() *Console {
	c.out.terminal, c.err.terminal, c.live = true, true, true
	return c
}
