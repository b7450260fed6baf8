"""How light shows cells: what they hold (`specimens`), and the microscopes that image it."""
