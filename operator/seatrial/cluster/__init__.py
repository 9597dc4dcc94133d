"""Reads what exists, carries out a plan. Here alone the operator imports ``kubernetes``."""
