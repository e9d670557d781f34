import click
labels=mines=faults=plutons=deposits=click.Command('x')
