"""Making the website from chapters that ran."""
